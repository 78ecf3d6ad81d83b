//go:build unix

package frame

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

const (
	readBuffer = 16 << 10
	// maxDescriptors is how many may travel with a frame.
	maxDescriptors = 72
)

// ErrNoDescriptor is returned for a frame with a detached body that came without its descriptor.
var ErrNoDescriptor = errors.New("a detached body came without its descriptor")

// Conn exchanges frames over a Unix stream socket. One goroutine may send while another receives; Close and the deadlines may be used
// from any.
type Conn struct {
	socket *net.UnixConn
	reader *bufio.Reader
	intake intake
	out    []byte
}

// Frame is a frame that has been received. File, if not nil, has the body and belongs to the receiver.
type Frame struct {
	Content
	File *os.File
}

// NewConn takes over a socket.
func NewConn(socket *net.UnixConn) *Conn {
	c := &Conn{socket: socket, intake: intake{socket: socket, control: make([]byte, syscall.CmsgSpace(4*maxDescriptors))}}
	c.reader = bufio.NewReaderSize(&c.intake, readBuffer)
	return c
}

// Pair makes a connection and the file that is its other end, for a process to come.
func Pair() (*Conn, *os.File, error) {
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, fmt.Errorf("make a socket pair: %w", err)
	}
	other := os.NewFile(uintptr(fds[1]), "worker")
	own := os.NewFile(uintptr(fds[0]), "scorer")
	defer own.Close()
	socket, err := net.FileConn(own)
	if err != nil {
		other.Close()
		return nil, nil, fmt.Errorf("use a socket pair: %w", err)
	}
	return NewConn(socket.(*net.UnixConn)), other, nil
}

// Send sends a frame. Unless the error is ErrCutOff, nothing of it was sent.
func (c *Conn) Send(header, body []byte) error {
	var err error
	c.out, err = write(c.socket, c.out, header, body)
	return err
}

// SendFiles sends a frame without a body, and descriptors of files with it.
func (c *Conn) SendFiles(header []byte, files ...*os.File) error {
	return c.sendWith(header, 0, 0, files)
}

// SendDetached sends a frame whose body of so many bytes lies in a file.
func (c *Conn) SendDetached(header []byte, body *os.File, size uint32) error {
	return c.sendWith(header, size, detached, []*os.File{body})
}

func (c *Conn) sendWith(header []byte, size, flags uint32, files []*os.File) error {
	if len(header) > MaxHeader || len(files) > maxDescriptors {
		return fmt.Errorf("%w: header of %d bytes, %d descriptors", ErrTooLarge, len(header), len(files))
	}
	fds := make([]int, len(files))
	for i, f := range files {
		fds[i] = int(f.Fd())
	}
	start := appendStart(nil, header, size, flags)
	n, _, err := c.socket.WriteMsgUnix(start, syscall.UnixRights(fds...), nil)
	for err == nil && n < len(start) {
		var more int
		more, err = c.socket.Write(start[n:])
		n += more
	}
	if err != nil && n > 0 {
		return fmt.Errorf("%w: %w", ErrCutOff, err)
	}
	return err
}

// Receive gives the next frame.
func (c *Conn) Receive() (Frame, error) {
	content, err := Read(c.reader)
	if err != nil {
		return Frame{}, err
	}
	f := Frame{Content: content}
	if !content.Detached {
		return f, nil
	}
	if len(c.intake.files) == 0 {
		return Frame{}, ErrNoDescriptor
	}
	f.File = c.intake.files[0]
	c.intake.files = c.intake.files[1:]
	return f, nil
}

// SetDeadline bounds what is sent and received from now on.
func (c *Conn) SetDeadline(t time.Time) error { return c.socket.SetDeadline(t) }

// SetReadDeadline bounds what is received from now on.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.socket.SetReadDeadline(t) }

// CloseWrite tells the other end that nothing more will come.
func (c *Conn) CloseWrite() error { return c.socket.CloseWrite() }

// Close closes the socket, and the files that have come and nobody has received. Nothing may be received at the time.
func (c *Conn) Close() error {
	for _, f := range c.intake.files {
		_ = f.Close()
	}
	c.intake.files = nil
	return c.socket.Close()
}

// intake reads bytes and keeps the descriptors that come with them.
type intake struct {
	socket  *net.UnixConn
	control []byte
	files   []*os.File
}

func (i *intake) Read(b []byte) (int, error) {
	n, controlled, _, _, err := i.socket.ReadMsgUnix(b, i.control)
	if controlled > 0 {
		i.keep(i.control[:controlled])
	}
	if err == nil && n == 0 && len(b) > 0 {
		return 0, io.EOF
	}
	// On an error the count is -1, which a bufio.Reader does not take.
	return max(n, 0), err
}

func (i *intake) keep(control []byte) {
	messages, err := syscall.ParseSocketControlMessage(control)
	if err != nil {
		return // a frame that needs the descriptor will miss it
	}
	for _, m := range messages {
		fds, err := syscall.ParseUnixRights(&m)
		if err != nil {
			continue
		}
		for _, fd := range fds {
			syscall.CloseOnExec(fd)
			i.files = append(i.files, os.NewFile(uintptr(fd), "received"))
		}
	}
}
