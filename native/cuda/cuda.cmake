# The CUDA kernels as nvcc compiles them, with the CUDA runtime linked in: the addon loads where there is no CUDA at all. nvcc is called
# directly: the sources are C++ of the same project for the emulator, and CMake knows new versions of CUDA late.
find_package(CUDAToolkit REQUIRED)
if(CUDAToolkit_VERSION VERSION_LESS 12.4)
  message(FATAL_ERROR "lowrank needs CUDA 12.4 or newer, found ${CUDAToolkit_VERSION}")
endif()

foreach(architecture ${LOWRANK_CUDA_ARCHITECTURES})
  string(REGEX MATCH "^([0-9]+a?)-(real|virtual)$" matched ${architecture})
  if(NOT matched)
    message(FATAL_ERROR "expected architectures as 80-real or 80-virtual in LOWRANK_CUDA_ARCHITECTURES, got ${architecture}")
  endif()
  if(CMAKE_MATCH_2 STREQUAL "real")
    list(APPEND code -gencode arch=compute_${CMAKE_MATCH_1},code=sm_${CMAKE_MATCH_1})
    if(CMAKE_MATCH_1 STREQUAL "90a")
      list(APPEND code -DLOWRANK_SM_90A)
    endif()
  else()
    list(APPEND code -gencode arch=compute_${CMAKE_MATCH_1},code=compute_${CMAKE_MATCH_1})
  endif()
endforeach()

# resource-usage: registers, shared memory and spills of every kernel, kept beside the object; the build makes a table of them.
file(GLOB headers CONFIGURE_DEPENDS cuda/*.h cuda/*.cuh core/*.h core/ops/*.h platform/*.h)
file(MAKE_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/cuda)
foreach(source ${cuda_sources})
  get_filename_component(stem ${source} NAME_WE)
  set(object ${CMAKE_CURRENT_BINARY_DIR}/cuda/${stem}.o)
  add_custom_command(
    OUTPUT ${object}
    COMMAND sh -c "\"$0\" \"$@\" > cuda/${stem}.log 2>&1 || { cat cuda/${stem}.log >&2; exit 1; }" ${CUDAToolkit_NVCC_EXECUTABLE}
      -std=c++20 -O3 ${code} --resource-usage -DLOWRANK_BACKEND=cuda -ccbin ${CMAKE_CXX_COMPILER}
      -Xcompiler -fPIC,-fvisibility=hidden,-ffunction-sections,-Wall,-Wextra,-ffp-contract=off,-fno-math-errno
      -c ${source} -o ${object}
    DEPENDS ${source} ${headers}
    COMMENT "Compiling ${stem}.cu with nvcc"
    VERBATIM)
  list(APPEND cuda_objects ${object})
endforeach()
