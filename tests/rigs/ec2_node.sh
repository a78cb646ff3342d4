#!/bin/bash
# A machine in namespaces of its own: this machine's files below a layer of its own, a real sshd on its address.
# Usage: ec2_node.sh FOLDER ADDRESS USER PROGRAMS CACHE API METADATA
set -e
folder=$1 address=$2 user=$3 programs=$4 cache=$5 api=$6 metadata=$7
root=$folder/root
mount --make-rprivate /
mkdir -p "$folder/layer" "$root"
mount -t tmpfs -o size=6g tmpfs "$folder/layer"
mkdir "$folder/layer/upper" "$folder/layer/work"
mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/layer/upper,workdir=$folder/layer/work" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --rbind /sys "$root/sys"
mount -t tmpfs -o size=4g tmpfs "$root/tmp"
chmod 1777 "$root/tmp"
mkdir -p "$root/opt/rig" "$root/opt/rig-cache" "$root/run/sshd"
mount --bind "$programs" "$root/opt/rig"
mount --bind "$cache" "$root/opt/rig-cache"
cp "$folder/keys" "$root/tmp/keys"
ln -sf /opt/rig/curl "$root/usr/local/bin/curl"
hostname "ip-${address//./-}"
echo "127.0.0.1 localhost $(hostname)" > "$root/etc/hosts"
cat > "$root/tmp/boot.sh" <<EOS
set -e
id $user > /dev/null 2>&1 || useradd -m -s /bin/bash $user
usermod -p '*' $user
echo "$user ALL=(ALL) NOPASSWD:ALL" > /etc/sudoers.d/90-cloud
chmod 440 /etc/sudoers.d/90-cloud
install -d -m 700 -o $user -g $user /home/$user/.ssh
install -m 600 -o $user -g $user /tmp/keys /home/$user/.ssh/authorized_keys
ssh-keygen -q -t ed25519 -N "" -f /tmp/host_key
exec /usr/sbin/sshd -D -e -f /dev/null -o ListenAddress=$address -o Port=22 -o HostKey=/tmp/host_key -o UsePAM=no \
  -o PasswordAuthentication=no -o MaxStartups=150:30:200 -o MaxSessions=200 -o 'Subsystem=sftp internal-sftp' -o PidFile=none \
  -o 'SetEnv=AWS_ENDPOINT_URL=$api AWS_EC2_METADATA_SERVICE_ENDPOINT=$metadata'
EOS
exec chroot "$root" bash /tmp/boot.sh
