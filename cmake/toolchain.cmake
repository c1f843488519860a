# Compiler flags shared by every target.
# -ffp-contract=off: a multiply and an add fuse only where a kernel says so, so that bits do not depend on
# the compiler's mood (the law of order, docs/architecture.md).
add_compile_options(-Wall -Wextra -Wno-missing-field-initializers -ffp-contract=off -fno-math-errno)
set(CMAKE_CXX_FLAGS_RELEASE "-O2")
set(CMAKE_CXX_FLAGS_DEBUG "-O1 -g")
find_program(HOIST_CCACHE ccache)
option(HOIST_USE_CCACHE "Use ccache when it is found" ON)
if(HOIST_CCACHE AND HOIST_USE_CCACHE)
  # Without this word ccache hands every source with a precompiled header to the compiler, because there it cannot see
  # __TIME__ or a macro defined before the header. We have neither.
  set(CMAKE_CXX_COMPILER_LAUNCHER env CCACHE_SLOPPINESS=pch_defines,time_macros ${HOIST_CCACHE})
endif()
find_program(HOIST_MOLD mold)
if(HOIST_MOLD)
  add_link_options(-fuse-ld=mold)
endif()
if(HOIST_SANITIZE)
  add_compile_options(-fsanitize=${HOIST_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${HOIST_SANITIZE})
endif()
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
