if(QUANTHOST_BUILD_TESTS)
  find_package(GTest REQUIRED)
  include(GoogleTest)
endif()

# quanthost_add_test(NAME SOURCES a.cpp… [LIBS t…] [LABELS l…] [ONE_PROCESS] [TIMEOUT s])
# Every TEST becomes a ctest entry of its own. ONE_PROCESS keeps a binary together: for tests that link
# LibTorch, whose start-up would otherwise be paid once a test. The label defaults to "unit".
function(quanthost_add_test name)
  cmake_parse_arguments(T "ONE_PROCESS" "TIMEOUT" "SOURCES;LIBS;LABELS" ${ARGN})
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
  target_link_libraries(${name} PRIVATE ${T_LIBS} quanthost_settings GTest::gtest GTest::gmock GTest::gtest_main)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/sdk/include)
  target_compile_definitions(${name} PRIVATE
    QH_TEST_SOURCE_DIR="${PROJECT_SOURCE_DIR}" QH_TEST_BINARY_DIR="${PROJECT_BINARY_DIR}")
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  if(T_ONE_PROCESS)
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
