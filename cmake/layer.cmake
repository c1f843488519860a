# hoist_layer(<name> [COLD] SOURCES a.cc ... [DEPS layer ...] [LIBS lib ...]): one static library per folder of src/.
# COLD layers have no hot loops and are compiled at -O1, which is a fifth faster to build.
# DEPS are the layers below it; docs/layers.txt is the table that tests/structure checks every include against.
# A layer that names fmt::fmt among its LIBS gets the precompiled headers with fmt.
function(hoist_layer name)
  cmake_parse_arguments(ARG "COLD" "" "SOURCES;DEPS;LIBS" ${ARGN})
  add_library(hoist_${name} STATIC ${ARG_SOURCES})
  set(pch std)
  if("fmt::fmt" IN_LIST ARG_LIBS)
    set(pch fmt)
  endif()
  if(ARG_COLD)
    target_compile_options(hoist_${name} PRIVATE -O1)
    set(pch ${pch}_cold)
  endif()
  target_precompile_headers(hoist_${name} REUSE_FROM hoist_pch_${pch})
  target_include_directories(hoist_${name} PUBLIC ${PROJECT_SOURCE_DIR}/src)
  foreach(dep ${ARG_DEPS})
    target_link_libraries(hoist_${name} PUBLIC hoist_${dep})
  endforeach()
  target_link_libraries(hoist_${name} PUBLIC ${ARG_LIBS})
endfunction()

# hoist_test(<name> [OPTIMIZED] SOURCES a.cc ... DEPS layer ...): one GoogleTest binary per layer, registered with ctest.
# Tests are compiled at -O0, which takes half the time of -O1: what works hard lies in the layers. OPTIMIZED tests
# compute themselves, and get -O1.
function(hoist_test name)
  cmake_parse_arguments(ARG "OPTIMIZED" "" "SOURCES;DEPS;LIBS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  if(ARG_OPTIMIZED OR HOIST_SANITIZE)
    target_compile_options(${name} PRIVATE -O1)
    target_precompile_headers(${name} REUSE_FROM hoist_pch_gtest_optimized)
  else()
    target_compile_options(${name} PRIVATE -O0)
    target_precompile_headers(${name} REUSE_FROM hoist_pch_gtest)
  endif()
  target_compile_definitions(${name} PRIVATE HOIST_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
                                             HOIST_BINARY="${CMAKE_BINARY_DIR}/bin/hoist")
  foreach(dep ${ARG_DEPS})
    target_link_libraries(${name} PRIVATE hoist_${dep})
  endforeach()
  target_link_libraries(${name} PRIVATE ${ARG_LIBS} GTest::gtest GTest::gtest_main)
  add_test(NAME ${name} COMMAND ${name})
endfunction()
