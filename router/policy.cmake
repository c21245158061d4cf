# SPDX-License-Identifier: Apache-2.0
# Policy files, the decision, confidence and calibration. policies/default.json is compiled in: its
# bytes become policy_default_text.c, again whenever the file changes.
set(policy_default_json ${CMAKE_SOURCE_DIR}/policies/default.json)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${policy_default_json})
file(READ ${policy_default_json} policy_default_hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," SLUICE_POLICY_DEFAULT_BYTES
  "${policy_default_hex}")
configure_file(${CMAKE_CURRENT_SOURCE_DIR}/policy_default_text.c.in
  ${CMAKE_CURRENT_BINARY_DIR}/policy_default_text.c @ONLY)

set(ROUTER_POLICY_SOURCES
  json_source.c
  policy.c
  policy_read.c
  policy_route.c
  policy_cloud.c
  policy_pii.c
  policy_store.c
  ${CMAKE_CURRENT_BINARY_DIR}/policy_default_text.c
  decide.c
  decide_explain.c
  confidence.c
  device.c
  agreement.c
  calibration.c
  calibration_kinds.c
  calibration_read.c
  gate.c
  gate_text.c
  gate_train.c
  label_prior.c
  schema_words.c
  eval.c
  eval_figures.c
  eval_kinds.c
  eval_command.c
  calibrate.c
  calibrate_certify.c
  calibrate_kinds.c
  calibrate_sets.c
  calibrate_command.c
  command_support.c
  labelled.c
  local_run.c)
