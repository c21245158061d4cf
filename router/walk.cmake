# SPDX-License-Identifier: Apache-2.0
# The walk: the request, the pipeline, and the stages that belong to the router, in stage order.
set(ROUTER_WALK_SOURCES
  answer.c out_stream.c
  request.c request_stream.c describe.c router_metrics.c pipeline.c control.c explain.c measure.c sessions.c
  stage_scrub.c
  stage_lookup.c lookup_similar.c lookup_meaning.c cache_keys.c cache_retire.c
  stage_infer.c infer.c
  stage_decide.c
  stage_escalate.c
  stage_restore.c restore_filter.c
  stage_store.c)
