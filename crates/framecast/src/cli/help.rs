//! The texts that `--help` prints after the options. Their lines fit a terminal of 80 columns.

pub(super) const AFTER_HELP: &str = "\
Examples:
  framecast                      the emulated camera at http://127.0.0.1:5000/
  framecast /dev/video0
  framecast http://192.168.1.20/video.mjpg
  framecast 'exec:ffmpeg -v error -re -stream_loop -1 -i a.mp4 -q 5 -f mjpeg -'
  framecast front=http://192.168.1.20/video.mjpg 'yard=images:./yard?watch'
  rpicam-vid -t 0 -n --codec mjpeg -o - | framecast pipe:-
  FRAMECAST_PASSWORD=… framecast --user me --listen 0.0.0.0:5000
  framecast devices              what is plugged in, with the source to paste
  framecast check --config framecast.toml

Sources:
  emulated:?fps=1&size=640x480   pictures of the digits 1, 2, 3 in turn
  test:?size=1280x720&fps=30     a moving pattern with frame number and time
  images:PATH?fps=1              a folder or glob of JPEGs, in a loop, by name
  images:PATH?watch              each new JPEG as it appears
  exec:PROGRAM ARGS              a program that writes JPEGs on standard output
  http://USER:PASSWORD@HOST/…    an MJPEG camera or server; or one JPEG, which
  https://USER:PASSWORD@HOST/…   is fetched again at the rate of the URL's fps=
  rtsp://USER:PASSWORD@HOST/…    an IP camera, read by ffmpeg; for another rate
  rtsps://USER:PASSWORD@HOST/…   and size, add #fps=10&size=640x360 at its end
  v4l2:/dev/video0?size=640x480  a webcam or capture card; short: /dev/video0
  pi:?size=1280x720&fps=30       a Raspberry Pi's own camera, by rpicam-vid; the
  libcamera:?camera=1            same; both accept &hflip &vflip &quality=
  pipe:-                         JPEGs on standard input

Environment:
  CAMERA                         the source to show if you give no other; also
                                 pi, pi2, v4l2 and opencv, as in the Flask app
  OPENCV_CAMERA_SOURCE           for CAMERA=opencv: a number, URL or video file
  FRAMECAST_PASSWORD             the password of --user
  FRAMECAST_HISTORY_PASSWORD     the password of history = \"postgres://…\"
  FRAMECAST_MONITOR_TOKEN        the bearer token of programs that read
                                 /metrics, /healthz and /readyz
  FRAMECAST_WEBHOOK_SECRET       the key that signs the events of [[webhook]]
  STATE_DIRECTORY                the folder for history and saved controls, or
  XDG_STATE_HOME                 else here [default: ~/.local/state/framecast]
  FRAMECAST_LOG                  the same as --log
  LISTEN_FDS, NOTIFY_SOCKET,     as systemd sets them for a service: sockets to
  WATCHDOG_USEC                  use in place of --listen, and whom to tell

Files:
  framecast.toml                 in the current folder, if you name no other file
                                 and no source
  /etc/framecast/framecast.toml  the cameras and settings of the service that a
  /etc/framecast/framecast.env   package installs, and its password
  /var/lib/framecast             its history and saved controls

Signals:
  SIGTERM, SIGINT                end the server
  SIGHUP                         without a terminal: reads the file again
  SIGUSR2                        starts a new version of the program in place of
                                 this one; no connection is refused

Exit codes:
  0    SIGINT or SIGTERM stopped the server; for check: nothing is wrong
  1    the server could not run; for example, the address is in use
  2    the command line, the configuration or the environment has an error
  130  a second SIGINT stopped the server at once; 143: a second SIGTERM";

pub(super) const AFTER_CHECK_HELP: &str = "\
`check` uses the same arguments, file and environment as `serve`, and
FRAMECAST_PASSWORD too. It writes no log.

Exit codes:
  0    nothing is wrong
  2    there is an error; standard error says what and where";

pub(super) const AFTER_RELOAD_HELP: &str = "\
Give `reload` the same arguments, file and environment as the server. It asks
the server by POST /api/reload. Cameras whose settings differ start again; all
others go on. A server without a terminal also reloads its file after SIGHUP,
and each server reloads its file when the file has changed.

Exit codes:
  0    the server has the configuration of the file; it may be as before
  1    no server answers there, or it has refused
  2    there is an error; standard error says what and where";

pub(super) const AFTER_HEALTH_HELP: &str = "\
Give `health` the same arguments, file and environment as the server. It asks
the server for /healthz, or with --ready for /readyz.

Exit codes:
  0    the server works
  1    no server answers there, or with --ready a camera does not work
  2    there is an error; standard error says what and where";

pub(super) const AFTER_DEVICES_HELP: &str = "\
Framecast opens each device for a moment and changes nothing. A running
server has the same list at /api/devices.

Exit codes:
  0    the list is complete; it may be empty
  1    a device did not answer";

pub(super) const AFTER_COMPLETIONS_HELP: &str = "\
Packages install these scripts. Elsewhere, put the script where your shell
looks for it, and start a new shell.

Examples:
  framecast completions bash >~/.local/share/bash-completion/completions/framecast
  framecast completions fish >~/.config/fish/completions/framecast.fish
  framecast completions zsh >~/.zfunc/_framecast    a folder of your fpath";

pub(super) const AFTER_MAN_HELP: &str = "\
Packages install these pages, for `man framecast` and `man framecast-check`.

Examples:
  framecast man | man -l -
  framecast man --all ~/.local/share/man/man1";
