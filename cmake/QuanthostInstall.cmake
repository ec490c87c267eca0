# What `cmake --install` writes, by component: sdk (sdk/CMakeLists.txt), host, cli, plugins, and bundled for the portable archive.
# Everything finds its parts by their place relative to itself, so a prefix may be moved.
file(RELATIVE_PATH QUANTHOST_PREFIX_FROM_PACKAGE /p/${CMAKE_INSTALL_DATADIR}/cmake/quanthost /p)
file(RELATIVE_PATH QUANTHOST_PREFIX_FROM_PKGCONFIG /p/${CMAKE_INSTALL_LIBDIR}/pkgconfig /p)
file(RELATIVE_PATH _lib_from_bin /p/${CMAKE_INSTALL_BINDIR} /p/${CMAKE_INSTALL_LIBDIR})
file(RELATIVE_PATH _lib_from_libexec /p/${CMAKE_INSTALL_LIBEXECDIR}/quanthost /p/${CMAKE_INSTALL_LIBDIR})

# -- host: what runs plugins, alone or in an application ---------------------------------------------------------------
install(TARGETS quanthost-probe RUNTIME DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/quanthost COMPONENT host)
set_target_properties(quanthost-probe PROPERTIES INSTALL_RPATH "$ORIGIN/${_lib_from_libexec}/quanthost/deps")
if(TARGET quanthost_host)
  set(_cmake_dir ${CMAKE_INSTALL_DATADIR}/cmake/quanthost)
  target_include_directories(quanthost_host INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_compile_features(quanthost_host INTERFACE cxx_std_17)
  install(TARGETS quanthost_host EXPORT quanthost-host LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT host)
  install(EXPORT quanthost-host FILE quanthost-host-targets.cmake NAMESPACE quanthost:: DESTINATION ${_cmake_dir}
          COMPONENT host)
  foreach(_file QuanthostHost.cmake quanthost.pc)
    configure_file(host/api/package/${_file}.in ${PROJECT_BINARY_DIR}/package/${_file} @ONLY)
  endforeach()
  install(FILES ${PROJECT_BINARY_DIR}/package/QuanthostHost.cmake DESTINATION ${_cmake_dir} COMPONENT host)
  install(FILES ${PROJECT_BINARY_DIR}/package/quanthost.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT host)
endif()

# -- cli: the command ----------------------------------------------------------------------------------------------------
install(TARGETS quanthost RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT cli)
install(TARGETS quanthost-conformance RUNTIME DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/quanthost COMPONENT cli)
set_target_properties(quanthost PROPERTIES INSTALL_RPATH "$ORIGIN/${_lib_from_bin}/quanthost/deps")
set_target_properties(quanthost-conformance PROPERTIES INSTALL_RPATH "$ORIGIN/${_lib_from_libexec}/quanthost/deps")

# -- plugins: all of them, and each backend by itself for the packages. GPU kernels where they were built; never the emulated.
set(QUANTHOST_BACKENDS bnb4 quanto gptq)
set(_plugin_dir ${CMAKE_INSTALL_LIBDIR}/quanthost/plugins)
foreach(_backend ${QUANTHOST_BACKENDS})
  foreach(_component plugins plugin-${_backend})
    set(_separate "")
    if(NOT _component STREQUAL "plugins")
      set(_separate EXCLUDE_FROM_ALL)
    endif()
    install(DIRECTORY ${QUANTHOST_PLUGIN_OUTPUT_DIRECTORY}/ DESTINATION ${_plugin_dir} COMPONENT ${_component} ${_separate}
            FILES_MATCHING PATTERN "qh_${_backend}*.so" PATTERN "${_backend}.so" PATTERN "*_emulated.so" EXCLUDE
            REGEX "/plugins/[a-z0-9]+$" EXCLUDE)
  endforeach()
endforeach()

# -- bundled: the shared libraries that are neither LibTorch's nor the system's own (libc, libstdc++, libgcc_s) -----------
configure_file(cmake/bundle_libraries.cmake.in ${PROJECT_BINARY_DIR}/package/bundle_libraries.cmake @ONLY)
install(SCRIPT ${PROJECT_BINARY_DIR}/package/bundle_libraries.cmake COMPONENT bundled EXCLUDE_FROM_ALL)
