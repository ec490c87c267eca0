# Manual pages and shell completion, written by the command itself from its table of verbs, so they cannot differ from it.
set(_manual ${PROJECT_BINARY_DIR}/manual)
set(_needs quanthost)
if(TARGET quanthost_host)
  list(APPEND _needs quanthost_host)  # its verbs have pages too
endif()
# Settings of whoever builds have no say in what is written.
set(_command ${CMAKE_COMMAND} -E env QUANTHOST_CONFIG=/dev/null ASAN_OPTIONS=detect_leaks=0 $<TARGET_FILE:quanthost>)
add_custom_command(OUTPUT ${_manual}/done
  COMMAND ${CMAKE_COMMAND} -E rm -rf ${_manual}
  COMMAND ${CMAKE_COMMAND} -E make_directory ${_manual}
  COMMAND ${_command} man --quiet --all ${_manual}/man1
  COMMAND ${_command} completion bash > ${_manual}/quanthost.bash
  COMMAND ${_command} completion zsh > ${_manual}/_quanthost
  COMMAND ${_command} completion fish > ${_manual}/quanthost.fish
  COMMAND ${CMAKE_COMMAND} -E touch ${_manual}/done
  DEPENDS ${_needs} VERBATIM COMMENT "Writing manual pages and completions")
add_custom_target(quanthost_manual ALL DEPENDS ${_manual}/done)

install(DIRECTORY ${_manual}/man1 DESTINATION ${CMAKE_INSTALL_MANDIR} COMPONENT cli)
install(FILES ${_manual}/quanthost.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions
        RENAME quanthost COMPONENT cli)
install(FILES ${_manual}/_quanthost DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions COMPONENT cli)
install(FILES ${_manual}/quanthost.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d COMPONENT cli)
