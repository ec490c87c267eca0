# Settings every target of this project shares. Third parties never see this file: it is not installed.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 99)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()

# One folder for programs and one for plugins, so the build tree can be used without installing.
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib)
set(QUANTHOST_PLUGIN_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/plugins)

find_program(QUANTHOST_CCACHE ccache)
if(QUANTHOST_CCACHE)
  # base_dir lets checkouts in different folders share results.
  set(_launcher ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1
                CCACHE_SLOPPINESS=time_macros,pch_defines ${QUANTHOST_CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${_launcher})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${_launcher})
endif()

add_library(quanthost_settings INTERFACE)
target_compile_options(quanthost_settings INTERFACE
  $<$<COMPILE_LANGUAGE:C,CXX>:-Wall -Wextra>
  # g++ 12 warns without reason about std::string's operator+ (GCC bug 105651).
  $<$<AND:$<CXX_COMPILER_ID:GNU>,$<COMPILE_LANGUAGE:CXX>>:-Wno-restrict>
  $<$<AND:$<BOOL:${QUANTHOST_WERROR}>,$<COMPILE_LANGUAGE:C,CXX>>:-Werror>)
if(QUANTHOST_SANITIZE)
  add_compile_options(-fsanitize=${QUANTHOST_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${QUANTHOST_SANITIZE})
  # GCC's manual: sanitizers make its flow analysis warn of what cannot happen.
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options($<$<COMPILE_LANGUAGE:C,CXX>:-Wno-maybe-uninitialized>)
  endif()
endif()
if(QUANTHOST_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)  # coverage in every library, not only in the fuzz targets
endif()

# Headers take most of the compilation of a small file: a target's files share them, `batch` files at a time. Turn it off to
# rebuild less after an edit; a file must not lean on its neighbours either way (scripts/tidy looks at each one alone).
option(QUANTHOST_UNITY "Compile several files of a library at once: a first build takes half the time" ON)
function(quanthost_compile_together target batch)
  if(QUANTHOST_UNITY)
    set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE ${batch})
  endif()
endfunction()

# -O3 takes a quarter longer to compile than -O2, and only kernels, which ask for it themselves, gain from it. Flags of somebody's
# own are left alone.
foreach(_language C CXX)
  if(CMAKE_${_language}_FLAGS_RELEASE STREQUAL "-O3 -DNDEBUG")
    set(CMAKE_${_language}_FLAGS_RELEASE "-O2 -DNDEBUG")
  endif()
endforeach()

# g++ looks for garbage so often that it takes an eighth of a file of 40,000 lines; without, such a file needs 150 MB more.
add_compile_options($<$<COMPILE_LANG_AND_ID:CXX,GNU>:--param=ggc-min-heapsize=1000000>)

# What runs a few times in a program's life, and is compiled in three quarters of the time.
function(quanthost_compile_quickly target)
  if(CMAKE_BUILD_TYPE STREQUAL "Release")
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:C,CXX>:-O1>)
  endif()
endfunction()

# CPU kernels are always optimized. Under sanitizers -O3 costs minutes a file and shows nothing that -O1 does not.
set(QUANTHOST_KERNEL_OPTIMIZATION -O3)
if(QUANTHOST_SANITIZE)
  set(QUANTHOST_KERNEL_OPTIMIZATION -O1)
endif()

# Some headers take most of a file's compilation (LibTorch's about 14 seconds): they are read once, into a target, and loaded from
# there by those that share them. A file must include what it needs all the same (QUANTHOST_UNITY says how that is looked at).
function(quanthost_torch_headers name)
  file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/${name}.cpp CONTENT "// Only its precompiled headers are used.\n")
  add_library(${name} OBJECT ${CMAKE_CURRENT_BINARY_DIR}/${name}.cpp)
  target_link_libraries(${name} PRIVATE torch::torch_cpu nlohmann_json::nlohmann_json fmt::fmt quanthost_settings)
  target_precompile_headers(${name} PRIVATE <torch/nn/module.h> <ATen/ATen.h> <ATen/Parallel.h> <c10/core/InferenceMode.h>
                            <nlohmann/json.hpp>)
  # What works on numbers has kernels of its own or calls LibTorch's.
  quanthost_compile_quickly(${name})
endfunction()
function(quanthost_share_headers target name)
  # Clang is used for the fuzzers alone, which have none of LibTorch.
  if(TARGET ${name} AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_precompile_headers(${target} REUSE_FROM ${name})
    # Headers compiled for a library (-fPIC) are not those of a program (-fPIE). Their -O comes with them, whatever a target asks.
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-fPIC>)
    # What defines macros for the headers has to define them for whoever loads these.
    get_target_property(_libraries ${name} LINK_LIBRARIES)
    target_link_libraries(${target} PRIVATE ${_libraries})
  endif()
endfunction()
