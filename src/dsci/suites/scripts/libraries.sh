# Asks the loader of every program and library what it cannot find. Prints each file with a colon behind it, and below it
# the loader's lines that say so. Runs in the image under test, in its sh. Exits with 3 where there is no ldd or no find.
command -v ldd >/dev/null 2>&1 && command -v find >/dev/null 2>&1 || exit 3
files() {
  find / -xdev \( -path /proc -o -path /sys -o -path /dev \) -prune -o \
    -type f \( -perm -100 -o -name '*.so' -o -name '*.so.*' \) "$@" 2>/dev/null
}
# glibc's names the file only where it is asked of several.
case $(ldd --version 2>&1) in
  *GLIBC* | *'GNU libc'*) files -print0 | xargs -0 ldd /bin/sh 2>/dev/null ;;
  *) files -exec sh -c 'for f; do echo "$f:"; ldd "$f" 2>&1; done' sh {} + ;;
esac | while IFS= read -r line; do
  case $line in /*: | *'not found'* | *'Error loading'*) printf '%s\n' "$line" ;; esac
done
exit 0
