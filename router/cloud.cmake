# SPDX-License-Identifier: Apache-2.0
# The cloud leg: transfers, providers, breaker, budgets.
set(ROUTER_CLOUD_SOURCES
  scrubbed.c)
