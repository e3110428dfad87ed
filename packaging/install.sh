#!/bin/sh
# Installs Framecast from this folder as a service of systemd, updates it, or removes it. INSTALL says how.
set -eu
cd "$(dirname "$0")"

if [ "$(id -u)" != 0 ]; then
    echo "run this as root: sudo ./install $*" >&2
    exit 1
fi
has_systemd() {
    [ -d /run/systemd/system ]
}

# Prints where below /usr/local a file of the folder usr belongs. There, zsh looks elsewhere than below /usr.
place() {
    echo "/usr/local/$1" | sed 's|/zsh/vendor-completions/|/zsh/site-functions/|'
}

remove() {
    if has_systemd; then
        systemctl disable --quiet --now framecast.socket framecast.service || true
    fi
    (cd usr && find . -type f) | while read -r file; do
        rm -f "$(place "${file#./}")"
    done
    rm -rf /usr/local/share/doc/framecast
    rm -f /etc/systemd/system/framecast.service /etc/systemd/system/framecast.socket /etc/sysusers.d/framecast.conf
    if has_systemd; then
        systemctl daemon-reload
    fi
}

case ${1:-} in
    "") ;;
    --remove)
        remove
        exit
        ;;
    --purge)
        remove
        rm -rf /etc/framecast /var/lib/framecast
        if getent passwd framecast >/dev/null; then
            userdel framecast
        fi
        exit
        ;;
    *)
        echo "unknown argument '$1': see INSTALL" >&2
        exit 2
        ;;
esac

install -D -m 644 usr/lib/sysusers.d/framecast.conf /etc/sysusers.d/framecast.conf
systemd-sysusers framecast.conf
for file in framecast.toml framecast.env; do
    if [ ! -e "/etc/framecast/$file" ]; then
        install -d -m 750 -g framecast /etc/framecast
        install -m 640 -g framecast "etc/framecast/$file" "/etc/framecast/$file"
        sed -i 's|/usr/share/doc|/usr/local/share/doc|' "/etc/framecast/$file"
    fi
done
# Below /usr/local, so that nothing conflicts with a package. A file that runs is replaced, not written to.
(cd usr && find . -type f -not -path './lib/*') | while read -r file; do
    file=${file#./}
    mode=644
    if [ "$file" = bin/framecast ]; then
        mode=755
    fi
    target=$(place "$file")
    install -D -m "$mode" "usr/$file" "$target.new"
    mv -f "$target.new" "$target"
done
for unit in framecast.service framecast.socket; do
    sed 's|/usr/bin/framecast|/usr/local/bin/framecast|' "lib/systemd/system/$unit" >"/etc/systemd/system/$unit"
done
if has_systemd; then
    systemctl daemon-reload
    systemctl enable --quiet framecast.service
    if systemctl --quiet is-active framecast.service; then
        # The server checks its configuration with the new program, and becomes it; no client is refused.
        systemctl kill --signal=USR2 --kill-who=main framecast.service
    else
        systemctl start framecast.service || true
    fi
fi
if has_systemd && ! systemctl --quiet is-active framecast.service; then
    echo "Framecast did not start: journalctl -u framecast -n 5 says why. If another program has port 5000, as OctoPrint" >&2
    echo "does, set another port in listen in /etc/framecast/framecast.toml, and run: systemctl restart framecast" >&2
    exit 1
fi
echo "Framecast is at http://127.0.0.1:5000/, for this machine alone. Your cameras go into /etc/framecast/framecast.toml."
