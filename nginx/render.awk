# How does nginx.conf become a configuration? ${NAME} by the environment's value, a line with ${EACH:NAME} once per word of it.
# An unknown name ends the rendering: a placeholder never reaches nginx.

function value(name) {
    if (!(name in ENVIRON)) {
        print "nginx: no setting " name " for " FILENAME ":" FNR > "/dev/stderr"
        exit 2
    }
    return ENVIRON[name]
}

# No gsub: its replacement text gives `&` and backslashes a meaning.
function fill(line,    filled) {
    filled = ""
    while (match(line, /\$\{[A-Z_]+\}/)) {
        filled = filled substr(line, 1, RSTART - 1) value(substr(line, RSTART + 2, RLENGTH - 3))
        line = substr(line, RSTART + RLENGTH)
    }
    return filled line
}

/^[ \t]*#/ { next }

match($0, /\$\{EACH:[A-Z_]+\}/) {
    before = substr($0, 1, RSTART - 1)
    after = substr($0, RSTART + RLENGTH)
    count = split(value(substr($0, RSTART + 7, RLENGTH - 8)), words, " ")
    for (i = 1; i <= count; i++) print fill(before words[i] after)
    next
}

{ print fill($0) }
