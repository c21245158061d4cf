# SPDX-License-Identifier: Apache-2.0
set(cache_TEST_LINKS PkgConfig::SQLITE PkgConfig::JANSSON)
# The power-cut test in full; the ordinary run does ten rounds.
if(NOT TARGET cache_crash_rounds)
  add_custom_target(cache_crash_rounds
    COMMAND ${CMAKE_COMMAND} -E env SLUICE_CRASH_ROUNDS=200 $<TARGET_FILE:unit_cache_test_crash>
    DEPENDS unit_cache_test_crash USES_TERMINAL VERBATIM)
endif()
