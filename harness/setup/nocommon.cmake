# llama.cpp's own `common` library pulls in an HTTP client and argument parsing that Assay never calls.
# Read through CMAKE_PROJECT_llama.cpp_INCLUDE: it halves the build of the llama-cpp-python wheel.
set(LLAMA_BUILD_COMMON OFF CACHE BOOL "" FORCE)
