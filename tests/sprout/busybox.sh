echo "== shell"
echo one two three
x=5; echo $((x * 7 + 2)) ${x}x ${y:-unset}
for i in 1 2 3; do echo -n "$i "; done; echo
case abc in a*) echo starts with a;; *) echo other;; esac
f() { echo "f called with $# args: $*"; return 3; }
f a b c; echo "status $?"
(exit 4); echo "sub $?"
echo `echo backticks` $(echo dollar)
cat <<EOF
here document $x
EOF
read a b <<EOF
first second third
EOF
echo "$a / $b"
test -f /etc/passwd && echo passwd there
[ 3 -gt 2 ] && echo greater
true && echo true; false || echo false
set -- p q r; shift; echo $1 $#
trap 'echo trapped' USR1; kill -USR1 $$; echo after trap
i=0; while [ $i -lt 3 ]; do i=$((i+1)); done; echo $i
printf '%05d|%-6s|%x\n' 42 abc 255
echo "== files"
mkdir -p /tmp/w/a/b; cd /tmp/w; pwd
echo hello > f1; echo world >> f1; cat f1
cp f1 f2; mv f2 a/f3; ls a | cat; ls -1 .
ln -s f1 l1; readlink l1; cat l1; ln f1 h1; stat -c '%h %s %F' f1
touch a/b/empty; find . | sort; find . -type f -name 'f*' | sort
chmod 640 f1; stat -c '%a' f1; ls -l f1 | cut -c1-10
rm h1; rmdir a/b 2>&1; rm -r a/b; ls a | cat
test -L l1 && echo link; test -d a && echo dir
echo abcdef | dd bs=1 skip=2 count=3 2>/dev/null; echo
dd if=/dev/zero of=z bs=1024 count=100 2>/dev/null; wc -c z; md5sum z
basename /a/b/c.txt .txt; dirname /a/b/c.txt; realpath l1
truncate -s 10 z; wc -c < z; du -k f1 | wc -l
mktemp -d /tmp/w/XXXXXX | wc -c; mkfifo ff; test -p ff && echo fifo
(echo through fifo > ff &) ; cat ff
echo "== text"
seq 1 20 | tail -n 3; seq 1 20 | head -n 2; seq 5 | tac | tr '\n' ' '; echo
printf 'b\na\nc\na\n' | sort; printf 'b\na\nc\na\n' | sort -u; printf 'b\na\nc\na\n' | sort | uniq -c
printf '10\n9\n100\n' | sort -n; printf '10\n9\n100\n' | sort -rn
echo "the quick brown fox" | wc; echo hello | tr a-z A-Z; echo hello | rev
grep -n root /etc/passwd; echo abc | grep -c b; printf 'x1\ny2\n' | grep -E '^y[0-9]'; grep nothing f1; echo "grep $?"
echo hello | sed 's/l/L/g'; seq 10 | sed -n '3,5p'; printf 'a b\n' | sed -E 's/(a) (b)/\2 \1/'
seq 10 | awk '{s += $1} END {print s}'; echo "a:b:c" | awk -F: '{print $2, NF}'; awk 'BEGIN {printf "%.3f %s\n", 3.14159, toupper("abc")}'
awk 'BEGIN { for (i = 0; i < 5; i++) x[i] = i * i; for (i = 0; i < 5; i++) print i, x[i], sin(i), exp(i), sqrt(i) }'
cut -d: -f1,3 /etc/passwd; paste -d, f1 f1; echo a,b,c | tr , '\n' | nl
expr 6 \* 7; expr length hello; echo '2^64; scale=10; 22/7' | bc; factor 360
echo hello | od -c | head -1; echo hello | hexdump -C | head -1; echo hello | xxd; printf 'abc' | base64; echo YWJj | base64 -d; echo
fold -w 5 <<EOF
0123456789
EOF
printf 'a\tb\n' | expand; echo hello world | tee t1; cat t1; diff f1 t1; echo "diff $?"; cmp f1 f1 && echo same
echo "== sums"
md5sum f1; sha1sum f1; sha256sum f1; sha512sum f1; cksum f1; sum f1; crc32 f1
echo "== archives"
touch -d @0 f1 t1 a a/*; tar cf x.tar f1 t1 a; tar tf x.tar | sort; mkdir out; tar xf x.tar -C out; cat out/f1; find out | sort
gzip -c x.tar > x.tgz; gunzip -c x.tgz | md5sum; md5sum x.tar | cut -c1-5 | wc -c; tar czf y.tgz f1; tar xzOf y.tgz f1
bzip2 -k f1; bunzip2 -c f1.bz2; echo lzma? ; ls f1* | sort; echo a | gzip | zcat
find out -name f1 | cpio -o -H newc 2>/dev/null | cpio -t 2>/dev/null
echo "== processes"
sleep 0.1 & wait; echo waited; sleep 100 & p=$!; kill $p; wait $p 2>/dev/null; echo "killed $?"
sh -c 'kill -9 $$'; echo "nine $?"; (sleep 0.05; echo later) | cat; yes | head -n 2; nice -n 5 echo nice
ps -o comm | grep -c sh > /dev/null && echo ps; id -u; whoami; env -i A=1 env; xargs echo x <<EOF
1 2
3
EOF
seq 3 | xargs -n 1 echo item; time -f '' true 2>/dev/null; timeout 1 sleep 5; echo "timeout $?"; seq 1000 | wc -l
sh -c 'exit 7'; echo $?; nohup echo nohup 2>/dev/null; which cat; uname -s; arch > /dev/null; tty > /dev/null; echo $-
echo a b c | (read x y; echo "$y $x"); ls /nonexistent; echo "ls $?"; cat < /nonexistent; date -u -d @0 '+%Y-%m-%d %H:%M:%S'
ulimit -n > /dev/null; cd /; cat /proc/self/cmdline | tr '\0' ' '; echo; test -r /proc/uptime && echo uptime; rm -rf /tmp/w; ls /tmp
cal 2 2024; echo done
