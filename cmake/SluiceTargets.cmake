# SPDX-License-Identifier: Apache-2.0
# How every target of Sluice is compiled, and the three kinds of target there are.

add_library(sluice_flags INTERFACE)
target_compile_definitions(sluice_flags INTERFACE _GNU_SOURCE)
target_compile_options(sluice_flags INTERFACE
  -Wall -Wextra -Wshadow -Wconversion -Wvla -Wformat=2 -Wstrict-prototypes -Wmissing-prototypes
  -Wno-sign-conversion -Wno-format-truncation # snprintf that cuts is what is wanted
  -fno-math-errno -fno-trapping-math -ffp-contract=off
  $<$<BOOL:${SLUICE_WERROR}>:-Werror>)
if(SLUICE_SANITIZE)
  target_compile_options(sluice_flags INTERFACE -fsanitize=${SLUICE_SANITIZE}
    -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(sluice_flags INTERFACE -fsanitize=${SLUICE_SANITIZE})
endif()
if(SLUICE_HARDEN)
  target_compile_options(sluice_flags INTERFACE -fstack-protector-strong -D_FORTIFY_SOURCE=2
    -fstack-clash-protection)
  target_link_options(sluice_flags INTERFACE -Wl,-z,relro,-z,now,-z,noexecstack)
  set(CMAKE_POSITION_INDEPENDENT_CODE ON)
endif()

# sluice_folder(NAME SOURCES file.c ... [LINKS target ...] [PRIVATE_LINKS target ...])
# The static library of one folder. Public headers: NAME/include; everything else is private.
function(sluice_folder name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINKS;PRIVATE_LINKS" ${ARGN})
  add_library(sluice_${name} STATIC ${ARG_SOURCES})
  target_include_directories(sluice_${name}
    PUBLIC ${CMAKE_CURRENT_SOURCE_DIR}/include
    PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  target_link_libraries(sluice_${name} PUBLIC ${ARG_LINKS} PRIVATE sluice_flags ${ARG_PRIVATE_LINKS})
endfunction()

# sluice_test(FOLDER file.c [more.c ...] [LINKS target ...])
# A Check program named after its first file. It sees the private headers of FOLDER, and runs as
# `ctest -L <group>` where the group is the folder under tests/ (unit, conformance).
function(sluice_test group folder)
  cmake_parse_arguments(ARG "" "" "LINKS;INCLUDES" ${ARGN})
  list(GET ARG_UNPARSED_ARGUMENTS 0 first)
  get_filename_component(test ${first} NAME_WE)
  set(target ${group}_${folder}_${test})
  add_executable(${target} ${ARG_UNPARSED_ARGUMENTS})
  target_include_directories(${target} PRIVATE ${CMAKE_SOURCE_DIR}/${folder} ${ARG_INCLUDES})
  target_link_libraries(${target} PRIVATE sluice_flags sluice_test_support sluice_${folder}
    ${ARG_LINKS})
  add_test(NAME ${target} COMMAND ${target})
  set_tests_properties(${target} PROPERTIES LABELS "${group};${folder}")
endfunction()
