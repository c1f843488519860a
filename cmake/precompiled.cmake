# Precompiled headers. Half of what a typical source costs is reading the standard library, so the headers that most
# sources read are precompiled, once for each set of compiler flags, and shared:
#   hoist_pch_std       the standard headers of most layers, -O2
#   hoist_pch_std_cold  the same for COLD layers, -O1
#   hoist_pch_fmt       those and fmt: layers whose errors are formatted, -O2
#   hoist_pch_fmt_cold  the same for COLD layers, -O1
#   hoist_pch_gtest     those and GoogleTest: tests, -O0
#   hoist_pch_gtest_optimized  the same for OPTIMIZED tests, -O1
# Loading one costs time by its size, and what a header would instantiate is instantiated in every source that loads
# it. So each holds little: no JSON, no Boost, no command line parser, which would cost most sources more than they save.
#
# They are a matter of speed only. Every source includes what it uses and builds without them:
#   cmake --preset release -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON
if(HOIST_FUZZ)
  # Clang wants the same instrumentation in both, and tests/fuzz instruments some layers only.
  set(CMAKE_DISABLE_PRECOMPILE_HEADERS ON)
endif()
find_package(fmt REQUIRED)

set(hoist_pch_headers <algorithm> <array> <cmath> <cstdint> <cstring> <functional> <limits> <map> <memory> <optional>
                      <set> <span> <string> <string_view> <utility> <vector>)

# hoist_precompiled(<name> <optimization flag or ""> HEADERS <h> ... LIBS lib ...): a target for hoist_precompile.
function(hoist_precompiled name optimization)
  cmake_parse_arguments(ARG "" "" "HEADERS;LIBS" ${ARGN})
  add_library(hoist_pch_${name} OBJECT ${PROJECT_SOURCE_DIR}/cmake/precompiled.cc)
  target_compile_options(hoist_pch_${name} PRIVATE ${optimization})
  target_link_libraries(hoist_pch_${name} PRIVATE ${ARG_LIBS})
  target_precompile_headers(hoist_pch_${name} PRIVATE ${hoist_pch_headers} ${ARG_HEADERS})
endfunction()

hoist_precompiled(std "")
hoist_precompiled(std_cold -O1)
hoist_precompiled(fmt "" HEADERS <fmt/format.h> LIBS fmt::fmt)
hoist_precompiled(fmt_cold -O1 HEADERS <fmt/format.h> LIBS fmt::fmt)
if(HOIST_TESTS)
  find_package(GTest REQUIRED)
  hoist_precompiled(gtest -O0 HEADERS <gtest/gtest.h> LIBS GTest::gtest)
  hoist_precompiled(gtest_optimized -O1 HEADERS <gtest/gtest.h> LIBS GTest::gtest)
endif()
