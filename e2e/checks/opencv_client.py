"""Reads pictures from a stream with OpenCV and prints the size of each: opencv_client.py URL COUNT"""

import sys

import cv2

url, count = sys.argv[1], int(sys.argv[2])
capture = cv2.VideoCapture(url)
if not capture.isOpened():
    sys.exit(f"OpenCV cannot open {url}")
for _ in range(count):
    is_read, picture = capture.read()
    if not is_read:
        sys.exit("OpenCV read no picture")
    height, width = picture.shape[:2]
    print(f"{width}x{height}")
