if(QUANTHOST_BUILD_TESTS)
  find_package(GTest REQUIRED)
  include(GoogleTest)
  # Test programs are linked in a third of the time by gold, which comes with GNU's own.
  find_program(QUANTHOST_GOLD ld.gold)
  mark_as_advanced(QUANTHOST_GOLD)
endif()

# What every test program links: where the folders are, and the headers that nearly all of them include.
function(quanthost_add_test_base)
  configure_file(folders.cpp.in folders.cpp @ONLY)
  add_library(qh_test_base STATIC ${CMAKE_CURRENT_BINARY_DIR}/folders.cpp)
  target_include_directories(qh_test_base PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(qh_test_base PRIVATE quanthost_settings GTest::gtest GTest::gmock nlohmann_json::nlohmann_json)
  target_precompile_headers(qh_test_base PRIVATE <gmock/gmock.h> <gtest/gtest.h> <nlohmann/json.hpp> <filesystem> <fstream>)
endfunction()

# quanthost_add_test(NAME SOURCES a.cpp… [LIBS t…] [LABELS l…] [TORCH] [ONE_PROCESS] [TIMEOUT s])
# Every TEST becomes a ctest entry of its own, unless ONE_PROCESS keeps a binary together. TORCH is for tests that include
# LibTorch's headers: they share them, and are one process, as LibTorch's start-up would otherwise be paid once a test.
# The label defaults to "unit".
function(quanthost_add_test name)
  cmake_parse_arguments(T "TORCH;ONE_PROCESS" "TIMEOUT" "SOURCES;LIBS;LABELS" ${ARGN})
  if(NOT T_LABELS)
    set(T_LABELS unit)
  endif()
  if(NOT T_TIMEOUT)
    set(T_TIMEOUT 120)
  endif()
  if(QUANTHOST_SANITIZE MATCHES thread)
    math(EXPR T_TIMEOUT "${T_TIMEOUT} * 10") # emulated kernels touch memory many times for each access they check
  endif()
  add_executable(${name} ${T_SOURCES})
  list(LENGTH T_SOURCES _count)
  if(_count GREATER 1)
    quanthost_compile_together(${name} 8)
    # Joined files are included by their whole paths, and GoogleTest writes down where each test stands: without this, another
    # checkout would compile them again.
    target_compile_options(${name} PRIVATE -fmacro-prefix-map=${PROJECT_SOURCE_DIR}/=)
  endif()
  if(QUANTHOST_GOLD)
    target_link_options(${name} PRIVATE -fuse-ld=gold)
  endif()
  target_link_libraries(${name} PRIVATE ${T_LIBS} qh_test_base quanthost_settings GTest::gtest GTest::gmock GTest::gtest_main)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/sdk/include)
  if(T_TORCH)
    quanthost_share_headers(${name} qh_torch_headers)
  else()
    quanthost_share_headers(${name} qh_test_base)
  endif()
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  if(T_TORCH OR T_ONE_PROCESS)
    add_test(NAME ${name} COMMAND ${name})
    set_tests_properties(${name} PROPERTIES LABELS "${T_LABELS}" TIMEOUT ${T_TIMEOUT})
    if(QUANTHOST_SANITIZE MATCHES thread)
      # OpenMP is not instrumented: ThreadSanitizer does not see that its threads wait for each other, and takes every parallel
      # loop of LibTorch for a race. Threads of ours are what it is to look at.
      set_tests_properties(${name} PROPERTIES ENVIRONMENT OMP_NUM_THREADS=1)
    endif()
  else()
    gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60
      PROPERTIES LABELS "${T_LABELS}" TIMEOUT ${T_TIMEOUT})
  endif()
endfunction()
