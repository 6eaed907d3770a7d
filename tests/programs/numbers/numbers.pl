# Numbers, strings, sorting and patterns in Perl.
my ($re, $im, $rows) = (0, 0, "");
for my $row (0 .. 11) {
    for my $column (0 .. 59) {
        my ($a, $b, $x, $y, $n) = ($column / 20 - 2.2, $row / 5 - 1.1, 0, 0, 0);
        ($x, $y, $n) = ($x * $x - $y * $y + $a, 2 * $x * $y + $b, $n + 1) while $n < 25 && $x * $x + $y * $y < 4;
        $rows .= substr(" .:-=+*#%@", $n * 9 / 25, 1);
    }
    $rows .= "\n";
}
print $rows;
printf "%.15g %.15g %.15g %.15g %.15g %s\n", sin($_), cos($_), exp($_ / 9), log($_), sqrt($_), $_ ** 1.7 for 1 .. 10;
print join(" ", unpack("H*", pack("d<", 1 / 3)), 2 ** 53 + 1, 18446744073709551615, 1e15 / 7, 10 % -3, int(-3.7), 0.1 + 0.2 - 0.3), "\n";
my %seen;
$seen{lc $1}++ while "A rose is a rose is a rose, and a cat is a cat" =~ /(\w+)/g;
print join(", ", map { "$_ $seen{$_}" } sort { $seen{$b} <=> $seen{$a} || $a cmp $b } keys %seen), "\n";
my @primes = (2);
CANDIDATE: for (my $n = 3; @primes < 800; $n += 2) {
    for (@primes) { last if $_ * $_ > $n; next CANDIDATE unless $n % $_ }
    push @primes, $n;
}
print "$primes[-1] ", eval { my $s = 0; $s += 1 / $_ for @primes; $s }, "\n";
my $state = 12345;
my @list = map { $state = ($state * 69069 + 1) & 0xffffffff; $state / 4294967296 } 1 .. 2000;
my ($sum, $square) = (0, 0);
$sum += $_, $square += $_ * $_ for sort { $a <=> $b } @list;
printf "%.17g %.17g %s\n", $sum / @list, sqrt($square / @list - ($sum / @list) ** 2), scalar reverse sprintf "%b", 1 << 20 | 5;
