#pragma once

#include "CSystemStorage.h"
