# Third-party libraries, each behind one imported target.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(Boost 1.74 REQUIRED COMPONENTS context)
find_package(yaml-cpp REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)
find_package(CLI11 REQUIRED)
pkg_check_modules(sodium REQUIRED IMPORTED_TARGET libsodium)
pkg_check_modules(pcre2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(utf8proc REQUIRED IMPORTED_TARGET libutf8proc)

# LibTorch from the PyPI wheel. The wheel's own CMake package asks for the whole CUDA toolkit; libquanthost
# needs libtorch_cpu and libc10 alone, so these two get imported targets of our own.
if(QUANTHOST_TORCH)
  if(NOT QUANTHOST_TORCH_DIR)
    file(GLOB _torch_candidates ${PROJECT_SOURCE_DIR}/.venv/lib/python3*/site-packages/torch)
    find_path(QUANTHOST_TORCH_DIR include/torch/script.h HINTS ${_torch_candidates} $ENV{LIBTORCH}
              DOC "Folder of LibTorch, the one that holds include/ and lib/")
  endif()
  if(NOT QUANTHOST_TORCH_DIR)
    message(FATAL_ERROR "LibTorch was not found. Run scripts/setup, which puts torch==2.11.0 into .venv, "
                        "or pass -DQUANTHOST_TORCH_DIR=<folder with include/ and lib/>, "
                        "or -DQUANTHOST_TORCH=OFF for the plugin core alone.")
  endif()
  # The wheel brings headers of a newer fmt than the system's library: ours must be found first.
  get_target_property(_fmt_include fmt::fmt INTERFACE_INCLUDE_DIRECTORIES)
  find_path(_fmt_include fmt/core.h HINTS ${_fmt_include} REQUIRED NO_CACHE)
  file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/include-first)
  file(CREATE_LINK ${_fmt_include}/fmt ${PROJECT_BINARY_DIR}/include-first/fmt SYMBOLIC)
  foreach(_lib c10 torch_cpu)
    add_library(torch::${_lib} SHARED IMPORTED)
    set_target_properties(torch::${_lib} PROPERTIES
      IMPORTED_LOCATION ${QUANTHOST_TORCH_DIR}/lib/lib${_lib}.so
      INTERFACE_INCLUDE_DIRECTORIES
        "${PROJECT_BINARY_DIR}/include-first;${QUANTHOST_TORCH_DIR}/include;${QUANTHOST_TORCH_DIR}/include/torch/csrc/api/include")
  endforeach()
  set_property(TARGET torch::torch_cpu APPEND PROPERTY INTERFACE_LINK_LIBRARIES torch::c10)

  # at::parallel_for is a template: without -fopenmp in the file that calls it, it runs serially and says nothing.
  # The runtime must be the one libtorch_cpu has: with a second one in the process two pools of threads share the cores.
  file(GLOB _torch_openmp ${QUANTHOST_TORCH_DIR}/lib/libgomp*.so* ${QUANTHOST_TORCH_DIR}/../torch.libs/libgomp*.so*)
  list(LENGTH _torch_openmp _torch_openmp_count)
  if(NOT _torch_openmp_count EQUAL 1)
    message(FATAL_ERROR "One OpenMP runtime (libgomp) is expected beside LibTorch in ${QUANTHOST_TORCH_DIR}, "
                        "found: '${_torch_openmp}'. Use the wheel of torch==2.11.0 that scripts/setup installs.")
  endif()
  add_library(torch::openmp SHARED IMPORTED)
  set_target_properties(torch::openmp PROPERTIES
    IMPORTED_LOCATION ${_torch_openmp} INTERFACE_COMPILE_OPTIONS $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-fopenmp>)
  set_property(TARGET torch::torch_cpu APPEND PROPERTY INTERFACE_LINK_LIBRARIES torch::openmp)
endif()

function(quanthost_find_gpu_compiler kind program)
  find_program(QUANTHOST_${program} ${program} HINTS /usr/local/cuda/bin /opt/rocm/bin)
  if(QUANTHOST_${kind} STREQUAL "AUTO")
    if(QUANTHOST_${program})
      set(QUANTHOST_WITH_${kind} ON PARENT_SCOPE)
    else()
      set(QUANTHOST_WITH_${kind} OFF PARENT_SCOPE)
    endif()
  elseif(QUANTHOST_${kind})
    if(NOT QUANTHOST_${program})
      message(FATAL_ERROR "QUANTHOST_${kind}=ON, but ${program} was not found")
    endif()
    set(QUANTHOST_WITH_${kind} ON PARENT_SCOPE)
  else()
    set(QUANTHOST_WITH_${kind} OFF PARENT_SCOPE)
  endif()
endfunction()
quanthost_find_gpu_compiler(CUDA nvcc)
quanthost_find_gpu_compiler(HIP hipcc)
