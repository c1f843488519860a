// Nothing: CMake attaches a precompiled header to a target, and a target has a source (precompiled.cmake).
