set -u
echo "== ash"
while getopts "ab:c" o -a -b val -c; do echo "opt $o ${OPTARG:-}"; done
s=hello.tar.gz; echo ${s%.gz} ${s%%.*} ${s#*.} ${s##*.} ${#s} ${s/l/L}
echo $((1<<10)) $((0x1f)) $((7%3)) $((-7/2)) $((5>3&&2>1))
set -e; false || true; set +e
(trap 'echo bye' EXIT; echo in) ; sh -c 'set -e; false; echo never'; echo "e $?"
for w in "a b" c; do echo "<$w>"; done; IFS=:; set -- $(echo x:y:z); echo $2; unset IFS
f() { local v=1; v=$((v+$1)); echo $v; [ $1 -gt 0 ] && f $(($1-1)); return 0; }; f 3
cat <<-'X' | tr a-z A-Z
	tabbed $HOME
X
printf '%s\n' a b c | while read l; do echo "[$l]"; done
echo {a,b} *.none; echo "quo\"te" 'sin$gle'; echo -e 'a\tb\n' | od -An -tx1
kill -l 9; kill -l TERM; type cd | head -1; command -v ls; eval 'echo ev"al"'; alias q='echo aliased'; q 2>/dev/null || echo noalias
exec 3>/tmp/fd3; echo to3 >&3; exec 3>&-; cat /tmp/fd3; echo err 1>&2 2>/dev/null; { echo grp; echo grp2; } > /tmp/g; cat /tmp/g
mkdir -p /tmp/v/d1/d2; cd /tmp/v; OLD=$PWD; cd d1; cd -; cd ..; pwd; cd v
echo "== find"
touch -d '2020-01-01 00:00:00' d1/old; touch d1/new; echo 123456789 > d1/size; chmod 4755 d1/size; chmod 600 d1/new
find . -type d | sort; find . -name '*e*' -type f | sort; find . -perm 600; find . -size -2 -type f | sort; find d1 -newer d1/old -type f | sort
find . -type f -exec basename {} \; | sort; find . -type f | sort | xargs -n 2 echo pair; find . -maxdepth 1 | sort; find . -name old -delete; ls d1 | cat
echo "== copy"
cp -r d1 c1; cp -a d1 c2; ls -lR c2 | grep -v total | awk '{print $1, $NF}'; diff -r d1 c2 && echo samedirs; mv c1 c3; ls | cat; rm -rf c3; ln -sf nowhere dang; ls -l dang | awk '{print $1,$9,$10,$11}'; readlink -f d1/../d1/new; test -e dang || echo dangling
cp -p d1/size s2; stat -c '%a %s' s2; install 2>/dev/null; echo data | tee a1 a2 >/dev/null; cmp a1 a2; cat a1 a2; split 2>/dev/null; unlink a1; ls a1 2>&1
dd if=/dev/zero bs=512 count=4 2>/dev/null | tr '\0' x | fold -w 64 | head -2; dd if=d1/size of=dd.out conv=ucase bs=4 2>/dev/null; cat dd.out; truncate -s 100 tr; stat -c %s tr; echo abc | dd of=tr bs=1 seek=50 conv=notrunc 2>/dev/null; od -c tr | tail -4
echo "== edit"
printf 'one\ntwo\nthree\nfour\n' > t; sed -i 's/two/TWO/;3d' t; cat t; sed -n '$p' t; sed '1!G;h;$!d' t; sed -e '/one/a added' -e '/four/i before' t; sed 's/\(o\)\(n\)/\2\1/' t; sed 'y/abc/xyz/' t; sed -n '/one/,/four/{=;p}' t
printf '1,$p\n1d\nw\nq\n' | ed -s t 2>/dev/null || ed t <<'X'
1p
q
X
printf 'one\ntwo\n' > p1; printf 'one\n2\n' > p2; diff -u p1 p2 | tail -n +3 > pp; cat pp; patch p1 < pp > /dev/null 2>&1; cat p1
awk '{ n[length($0)]++ } END { for (k in n) print k, n[k] }' t | sort; awk -v x=3 'BEGIN { while (x-- > 0) printf "%d ", x; print ""; print substr("hello", 2, 3), index("hello", "l"), split("a b c", a), a[2]; print 1e6, 2^31, 10 % 3, int(-3.7), 1/3 }'
awk 'BEGIN { "echo cmd" | getline l; print l; print "b\na" | "sort"; close("sort"); gsub(/[aeiou]/, "*", l); print l; print toupper("x") tolower("Y"), match("foobar", "o+"), RSTART, RLENGTH; printf "%c%5.2f%-5s|%x\n", 65, 3.14159, "ab", 255 }'
printf 'k1 3\nk2 1\nk1 2\n' | sort -k1,1 -k2n; printf 'k1 3\nk2 1\n' | sort -k2; printf 'a\nA\nb\n' | sort -f | uniq -ic; printf '3\n1\n2\n' | sort -c 2>&1 | head -1; seq -w 8 11; seq 1 .5 2; seq 3 | paste -s -d+ ; seq 3 | paste -s -d+ | bc
echo 'a b  c' | tr -s ' '; echo hello | tr -d l; echo hello | tr -c 'a-z\n' '?'; echo abcdef | cut -c2-4; echo a:b:c | cut -d: -f2-; printf 'x\ty\n' | cut -f2; echo "long line of words to fold here" | fold -s -w 10; expr abc : 'a\(.\)c'; expr 5 \> 3; expr substr hello 2 3
echo "== codes"
echo hello | md5sum; echo hello | sha1sum; echo hello | sha256sum; echo hello | sha3sum; echo hello | sha512sum | cut -c1-20; echo hello | cksum; md5sum t > sums; md5sum -c sums; echo hello | base64; head -c 300 /bin/busybox | base64 | md5sum; echo hi | uuencode x | uudecode -o - ; strings /bin/busybox | grep -c 'BusyBox v1'; echo hello | hexdump -e '1/1 "%02x "'; echo; echo hello | od -t x2 -A d; xxd -p t; echo 68656c6c6f | xxd -r -p; echo
echo "== archives"
tar cf - d1 | tar tf - | sort; tar cjf x.tbz d1; tar tjf x.tbz | wc -l; tar czf x.tgz d1; rm -rf d1; tar xzf x.tgz; ls d1 | cat; ls -l d1/size | cut -c1-10; find d1 | cpio -o -H newc > x.cpio 2>/dev/null; mkdir xx; cd xx; cpio -id < ../x.cpio 2>/dev/null; find . | sort; cd ..; seq 5000 > big; gzip -9 big; gunzip -t big.gz && echo ok; zcat big.gz | tail -1; gunzip big.gz; bzip2 big; bzcat big.bz2 | md5sum; seq 100 | gzip | gunzip | tail -1; ar -t /nonexistent 2>&1 | head -1; echo hello | gzip -c | wc -c; echo x | bzip2 | bunzip2
echo "== misc"
date -u -d '2024-02-29 12:34:56' +%s; date -u -d @1700000000 '+%a %b %e %H:%M:%S %Y %j %u'; cal 1 2023; basename /x/y/; dirname a; env | grep -c PATH; printenv HOME; id; id -un; groups; logname 2>/dev/null; ipcalc -n 192.168.1.77/24; ipcalc -b 10.0.0.1/8; factor 97 1001; which awk sed; sleep 0.01; usleep 1000; yes no | head -3 | uniq -c; echo "1 2 3" | xargs -n1 | tac | tr '\n' ' '; echo
cat > sc <<'X'
#!/bin/sh -e
echo "script $0 $1 $#"
X
chmod +x sc; ./sc arg; sh sc 1 2; echo 'echo sourced $1' > src; . ./src; ./nothere 2>&1 | sed 's/.*: //'; ./t 2>&1 | sed 's/.*: //'; true | false | true; echo $?; ! true; echo $?
(exit 3) & wait $!; echo $?; sleep 0.2 & sleep 0.1; kill $!; wait $! 2>/dev/null; echo $?; (sleep 0.3; echo bg) & wait; echo fg; sh -c 'kill -SEGV $$'; echo $?; timeout 0.2 sleep 3; echo $?; timeout -s KILL 0.2 sleep 3; echo $?
mkfifo q; (cat q | tr a-z A-Z) & echo fifo > q; wait; echo a | tee /dev/stderr 2>&1 >/dev/null; echo redirected > /dev/stdout; cat /dev/null; head -c 4 /dev/zero | od -An -tx1; echo full > /dev/full; echo "st $?"
hostname sprout; hostname; uname -n; mount > /dev/null && echo mount; ps > /dev/null && echo ps; cat /proc/self/comm; ls /proc/self/exe > /dev/null && echo exe; free > /dev/null && echo free; [ -d /proc/1 ] && echo init; pidof nothing || echo none; renice 5 $$ >/dev/null 2>&1; stty -F /dev/null 2>&1 | head -1; ttysize 2>/dev/null | wc -w; crc32 t; rev < t; shuf -e a | cat; nl -ba t; tail -c 5 t; tail -n +2 t; head -n -1 t; wc -lwc t; comm 2>/dev/null; ls -1p | grep / ; ls -i t > /dev/null && echo ino; du -s d1 > /dev/null && echo du; sync; echo end
cd /; rm -rf /tmp/v /tmp/g /tmp/fd3
