# SPDX-License-Identifier: MIT OR Apache-2.0
# Fetches Debian's static busybox for s390x into the file $1, from the mirrors that this system's apt uses and by apt's
# own verification. apt gets lists and a state of its own: the system is not changed, and root is not needed.
have() { command -v "$1" > /dev/null || { echo "this system has no $1" >&2; exit 1; }; }
have apt-get
have dpkg-deb
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 1' HUP INT TERM
mkdir -p "$folder/lists/partial" "$folder/archives/partial"
: > "$folder/status"
cat > "$folder/apt.conf" << END
#clear APT::Architectures;
APT::Architecture "s390x";
APT::Architectures { "s390x"; };
APT::Sandbox::User "root";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Dir::State "$folder";
Dir::State::lists "$folder/lists";
Dir::State::status "$folder/status";
Dir::Cache "$folder";
Dir::Cache::archives "$folder/archives";
Dir::Log "$folder";
APT::Get::AllowUnauthenticated "false";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
Acquire::Retries "2";
Acquire::http::Timeout "30";
Acquire::https::Timeout "30";
END
export APT_CONFIG="$folder/apt.conf" LC_ALL=C
# A mirror of something else may have nothing for s390x; one is enough.
apt-get -qq update || :
cd "$folder"
apt-get -qq download busybox-static
dpkg-deb --extract busybox-static_*.deb root
found=
for file in root/bin/busybox root/usr/bin/busybox; do
    [ ! -f "$file" ] || found=$file
done
[ -n "$found" ] || { echo "Debian's busybox-static has no busybox" >&2; exit 1; }
# In one step: what was interrupted leaves nothing half done.
cp "$found" "$1.new"
mv "$1.new" "$1"
