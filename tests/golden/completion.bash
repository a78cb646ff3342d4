_calmtune_completion() {
    local IFS=$'\n' line="${COMP_LINE:0:$COMP_POINT}" type value
    local word="${line##*[[:space:]]}"
    local done="${word%"${word##*[=:]}"}"  # bash takes what follows = and : for words of their own
    COMPREPLY=()
    while IFS=',' read -r type value; do
        case "$type" in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain)
                COMPREPLY+=("${value#"$done"}")
                [[ $value == *= ]] && compopt -o nospace
                ;;
        esac
    done < <(env COMP_WORDS="$line" _CALMTUNE_COMPLETE=bash_complete "$1")
    return 0
}

complete -o nosort -F _calmtune_completion calmtune
