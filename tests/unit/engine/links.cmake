# SPDX-License-Identifier: Apache-2.0
# The kernel tests once more, cross-compiled and under qemu-user; they skip where that is missing.
foreach(test test_kernels test_quant_blocks)
  add_test(NAME unit_engine_arm64_${test}
    COMMAND ${CMAKE_SOURCE_DIR}/tests/unit/engine/arm64/run.sh ${CMAKE_SOURCE_DIR}
      ${CMAKE_BINARY_DIR} ${test})
  set_tests_properties(unit_engine_arm64_${test} PROPERTIES LABELS "unit;engine")
endforeach()
