#!/bin/bash
# Runs a command where loopback delays and loses packets: in a Linux of its own, as a program of this one (user-mode Linux).
# usage: tools/bad-network.sh NETEM COMMAND…      NETEM as tc-netem(8) has it, each way: "delay 20ms loss 1%"
# It sees this machine's files, cannot change them, and keeps its own below /run.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -ge 2 ] || { sed -n '2,4s/^# //p' "$0" >&2; exit 2; }
netem=$1
shift
tools/deps.sh network
modules=$(dirname "$(find /usr/lib/uml/modules -name modules.dep)")
insert=$(find "$modules" -name veth.ko -o -name sch_netem.ko)
init=$(mktemp /var/tmp/ownstream-uml.XXXXXX) # below /tmp it would be hidden
trap 'rm -f "$init" "$init.ended"' EXIT
cat > "$init" <<SCRIPT
#!/bin/bash
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/run TMPDIR=/run
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs run /run
for module in $(echo $insert); do insmod \$module; done
# WebRTC wants an address that is not loopback's; what goes from one to another of a machine's own takes loopback all the same.
ip link set lo up && ip link add here0 type veth peer name here1 && ip addr add 10.9.0.1/24 dev here0 &&
  ip link set here0 up && ip link set here1 up && tc qdisc add dev lo root netem $netem ||
  { echo "bad-network: there is no such network here" >&2; exit_with=1; }
cd $PWD
[ -n "\${exit_with:-}" ] || { $(printf '%q ' "$@"); exit_with=\$?; }
echo "bad-network: ended with \$exit_with"
perl -e 'syscall(169, 0xfee1dead, 672274793, 0x4321fedc)' # reboot(2): power off
SCRIPT
chmod +x "$init"
linux.uml rootfstype=hostfs rootflags=/ ro mem=1536M con=null con0=fd:0,fd:1 quiet random.trust_cpu=on init="$init" </dev/null 2>&1 |
  grep --line-buffered -v -E '^(SELinux|mmapper_init|Failed to initialize ubd|reboot:)' | tee "$init.ended"
grep -q '^bad-network: ended with 0' "$init.ended"
