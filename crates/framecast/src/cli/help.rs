//! The text of `--help` after the options. Lines fit a terminal of 80 columns.

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
  emulated:?fps=1&size=640x480   1, 2, 3 by the clock
  test:?size=1280x720&fps=30     a moving pattern with frame number and time
  images:PATH?fps=1              a folder or glob of JPEGs, looped by name
  images:PATH?watch              each new JPEG as it appears
  exec:PROGRAM ARGS              a program that writes JPEGs on standard output
  http://USER:PASSWORD@HOST/…    another MJPEG server, or a picture, polled at
  https://USER:PASSWORD@HOST/…   the URL's fps=
  rtsp://USER:PASSWORD@HOST/…    an IP camera, read by ffmpeg; at its end
  rtsps://USER:PASSWORD@HOST/…   #fps=10&size=640x360 where wanted
  v4l2:/dev/video0?size=640x480  a webcam or capture card; /dev/video0 will do
  pi:?size=1280x720&fps=30       a Raspberry Pi's own camera, by rpicam-vid; the
  libcamera:?camera=1            same by its full name; &hflip &vflip &quality=
  pipe:-                         JPEGs on standard input

Environment:
  CAMERA                         the source to show when no other is given; also
                                 pi, pi2, v4l2 and opencv, as in the Flask app
  OPENCV_CAMERA_SOURCE           for CAMERA=opencv: a number, a URL or a film
  FRAMECAST_PASSWORD             the password of --user
  FRAMECAST_HISTORY_PASSWORD     the password of history = \"postgres://…\"
  FRAMECAST_WEBHOOK_SECRET       signs what is sent to each [[webhook]]
  STATE_DIRECTORY                where what must outlive a restart is kept, or
  XDG_STATE_HOME                 else here [default: ~/.local/state/framecast]
  FRAMECAST_LOG                  the same as --log

Exit codes:
  0    ended by SIGINT or SIGTERM; for check: nothing is wrong
  1    the server could not run: the address is taken, or the system refused
  2    the command line, configuration or environment cannot be used
  130  a second SIGINT, or 143 a second SIGTERM: ended at once";

pub(super) const AFTER_CHECK_HELP: &str = "\
Write `check` before what you would serve: the same arguments, file and
environment count, FRAMECAST_PASSWORD too. Nothing is logged.

Exit codes:
  0    nothing is wrong
  2    something is, and standard error says what and where";

pub(super) const AFTER_DEVICES_HELP: &str = "\
Nothing is opened for long, and nothing is changed. A running server tells the
same at /api/devices.

Exit codes:
  0    the list is complete; it may be empty
  1    a device did not answer";
