#pragma once

#include "CSystemNetwork.h"
#include "CSystemStorage.h"
#include "CSystemThread.h"
#include "CSystemCommandLine.h"
