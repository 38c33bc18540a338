#pragma once

#include "CSystemStorage.h"
#include "CSystemThread.h"
