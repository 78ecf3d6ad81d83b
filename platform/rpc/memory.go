package rpc

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/test/bufconn"
)

// Network connects services by name.
type Network interface {
	// Listen opens the listener of a service.
	Listen(service string) (net.Listener, error)
	// Dial makes a connection of one service to another. It connects when first
	// used, and again whenever it was lost.
	Dial(from, to string) (*grpc.ClientConn, error)
	// Credentials are the server side's.
	Credentials() credentials.TransportCredentials
}

// Memory is the Network inside one process.
type Memory struct {
	options   []grpc.DialOption
	mu        sync.Mutex
	listeners map[string]*bufconn.Listener
}

var _ Network = (*Memory)(nil)

// NewMemory makes an empty network. The options are for every connection.
func NewMemory(options ...grpc.DialOption) *Memory {
	return &Memory{options: options, listeners: map[string]*bufconn.Listener{}}
}

const memoryBuffer = 256 << 10

func (m *Memory) listener(service string) *bufconn.Listener {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.listeners[service]
	if l == nil {
		l = bufconn.Listen(memoryBuffer)
		m.listeners[service] = l
	}
	return l
}

// Listen gives the one listener of a service.
func (m *Memory) Listen(service string) (net.Listener, error) { return m.listener(service), nil }

// Dial connects to a service, also before it listens.
func (m *Memory) Dial(from, to string) (*grpc.ClientConn, error) {
	l := m.listener(to)
	own := grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) })
	return dial("passthrough:///"+to, memoryCredentials{service: from}, append(slices.Clone(m.options), own)...)
}

// Credentials reads the caller's name, which Dial sends first.
func (m *Memory) Credentials() credentials.TransportCredentials { return memoryCredentials{} }

// memoryCredentials tell the server who dialled. Nobody outside the process
// can reach the listeners, so the name can be believed.
type memoryCredentials struct{ service string }

// memoryInfo is the caller's name as the server sees it.
type memoryInfo struct {
	credentials.CommonAuthInfo
	service string
}

func (memoryInfo) AuthType() string { return "memory" }

func newMemoryInfo(service string) memoryInfo {
	return memoryInfo{
		CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity},
		service:        service,
	}
}

func (c memoryCredentials) ClientHandshake(_ context.Context, _ string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	hello := binary.BigEndian.AppendUint16(nil, uint16(len(c.service)))
	if _, err := conn.Write(append(hello, c.service...)); err != nil {
		return nil, nil, err
	}
	return conn, newMemoryInfo(""), nil
}

func (c memoryCredentials) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, nil, fmt.Errorf("read the caller's name: %w", err)
	}
	name := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, name); err != nil {
		return nil, nil, fmt.Errorf("read the caller's name: %w", err)
	}
	return conn, newMemoryInfo(string(name)), nil
}

func (c memoryCredentials) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "memory"}
}

func (c memoryCredentials) Clone() credentials.TransportCredentials { return c }

func (c memoryCredentials) OverrideServerName(string) error { return nil }
