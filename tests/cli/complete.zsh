# What an interactive zsh makes of LINE and a press of Tab: zsh -f complete.zsh FOLDER LINE, with FOLDER/functions/_quanthost.
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "PS1=; fpath=($1/functions \$fpath); autoload -Uz compinit; compinit -u -d $1/compdump"
zpty -w shell 'show() { print -r -- "<<$BUFFER>>"; exit }; zle -N show; bindkey "^X" show; bindkey "^I" complete-word; print read""y'
while zpty -r shell output; do [[ $output == *ready* ]] && break; done
zpty -n -w shell "$2"$'\t\x18'
seen=
while zpty -r shell output; do seen+=$output; done
zpty -d shell
print -r -- "${${seen##*<<}%%>>*}"
