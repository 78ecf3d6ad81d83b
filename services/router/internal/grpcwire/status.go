package grpcwire

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Code is a status of gRPC.
type Code int

// The statuses.
const (
	OK                Code = 0
	Canceled          Code = 1
	Unknown           Code = 2
	InvalidArgument   Code = 3
	DeadlineExceeded  Code = 4
	NotFound          Code = 5
	AlreadyExists     Code = 6
	PermissionDenied  Code = 7
	ResourceExhausted Code = 8
	FailedCondition   Code = 9
	Aborted           Code = 10
	OutOfRange        Code = 11
	Unimplemented     Code = 12
	Internal          Code = 13
	Unavailable       Code = 14
	DataLoss          Code = 15
	Unauthenticated   Code = 16
)

// OfHTTP is the status that says in gRPC what a refusal's one says in HTTP.
func OfHTTP(status int) Code {
	switch status {
	case 400:
		return InvalidArgument
	case 401:
		return Unauthenticated
	case 403:
		return PermissionDenied
	case 404:
		return NotFound
	case 405, 501:
		return Unimplemented
	case 413, 429, 431:
		return ResourceExhausted
	case 500:
		return Internal
	case 502, 503:
		return Unavailable
	case 504:
		return DeadlineExceeded
	}
	return Unknown
}

// HTTP is the status that a container would have answered in HTTP, which is what
// answers are counted by. A fault of the container is 502, as everywhere.
func (c Code) HTTP() int {
	switch c {
	case OK:
		return 200
	case Canceled:
		return 499
	case InvalidArgument, FailedCondition, OutOfRange:
		return 400
	case DeadlineExceeded:
		return 504
	case NotFound:
		return 404
	case AlreadyExists, Aborted:
		return 409
	case PermissionDenied:
		return 403
	case ResourceExhausted:
		return 429
	case Unimplemented:
		return 501
	case Unavailable:
		return 503
	case Unauthenticated:
		return 401
	case Unknown, Internal, DataLoss:
	}
	return 502
}

// ParseCode reads the value of grpc-status. What is none means Unknown.
func ParseCode(value string) Code {
	n, err := strconv.Atoi(value)
	if err != nil || n < int(OK) || n > int(Unauthenticated) {
		return Unknown
	}
	return Code(n)
}

// EncodeMessage spells a text for grpc-message.
func EncodeMessage(text string) string {
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// maxTimeoutDigits is how many digits a timeout may have.
const maxTimeoutDigits = 8

// ParseTimeout reads the value of grpc-timeout; ok is false for what is none.
func ParseTimeout(value string) (d time.Duration, ok bool) {
	if len(value) < 2 || len(value) > maxTimeoutDigits+1 {
		return 0, false
	}
	unit, ok := unitOf(value[len(value)-1])
	n, err := strconv.ParseUint(value[:len(value)-1], 10, 32)
	if !ok || err != nil {
		return 0, false
	}
	const longest = time.Duration(1<<63 - 1)
	if n > uint64(longest/unit) {
		return longest, true
	}
	return time.Duration(n) * unit, true
}

func unitOf(letter byte) (time.Duration, bool) {
	switch letter {
	case 'H':
		return time.Hour, true
	case 'M':
		return time.Minute, true
	case 'S':
		return time.Second, true
	case 'm':
		return time.Millisecond, true
	case 'u':
		return time.Microsecond, true
	case 'n':
		return time.Nanosecond, true
	}
	return 0, false
}

// FormatTimeout spells a timeout, in milliseconds where they have room.
func FormatTimeout(d time.Duration) string {
	const most = 1e8 - 1
	d = max(d, 0)
	if ms := d.Milliseconds(); ms <= most {
		return strconv.FormatInt(ms, 10) + "m"
	}
	return strconv.FormatInt(min(int64(d/time.Second), most), 10) + "S"
}
