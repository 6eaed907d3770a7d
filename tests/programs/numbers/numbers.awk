# Sums, series, words and fields: what awk is for, and its numbers are the x87's.
function newton(x,   r, i) {
    r = x
    for (i = 0; i < 30; i++) r = (r + x / r) / 2
    return r
}
BEGIN {
    for (i = 1; i <= 12; i++)
        printf "%d %.15g %.15g %.15g %.15g %.15g %.15g\n", i, sin(i), cos(i), atan2(i, 3), exp(i / 3), log(i), newton(i)
    for (n = 1; n <= 30000; n++) { sum += 1 / n; squares += 1 / (n * n); sign = -sign || 1 }
    printf "%.17g %.17g %d\n", sum, squares, sum * 1e6 % 977
    for (i = 0; i < 2000; i++) { x = (x * 1103515245 + 12345) % 2147483648; count[x % 10]++ }
    for (d = 0; d < 10; d++) printf "%d:%d ", d, count[d]
    print ""
    text = "the quick brown fox jumps over the lazy dog"
    n = split(text, words, " ")
    for (i = n; i > 0; i--) line = line toupper(substr(words[i], 1, 1)) substr(words[i], 2) " "
    gsub(/[aeiou]/, "<&>", line)
    print line, length(line), 2 ^ 0.5, 1e300 * 1e10, -7 % 3, int(-7.9), 0.1 + 0.2, 1 / 3
}
