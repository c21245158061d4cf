# SPDX-License-Identifier: Apache-2.0
# The cloud leg: transfers, providers, breaker, budgets.
set(ROUTER_CLOUD_SOURCES
  breaker.c
  cloud.c
  cloud_attempt.c
  cloud_call.c
  cloud_race.c
  cloud_settle.c
  cost.c
  network_state.c
  outbound.c
  provider.c
  provider_anthropic.c
  provider_anthropic_request.c
  provider_error.c
  provider_openai.c
  provider_state.c
  retry_budget.c
  scrubbed.c
  shadow.c
  shadow_rows.c
  speculation.c
  sse_parser.c
  transfer.c
  transfer_exchange.c)
