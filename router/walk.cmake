# SPDX-License-Identifier: Apache-2.0
set(ROUTER_WALK_SOURCES answer.c)
