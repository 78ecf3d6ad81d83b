package scorer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
)

// listen opens the address that requests come to, unless given is open already, and, behind it, the second port for probes if there
// is to be one.
func listen(ctx context.Context, cfg Config, given net.Listener) ([]net.Listener, error) {
	var addresses []string
	var listeners []net.Listener
	if given != nil {
		listeners = append(listeners, given)
	} else {
		addresses = append(addresses, cfg.Listen)
	}
	if cfg.HealthPort != 0 {
		addresses = append(addresses, net.JoinHostPort(hostOf(cfg.Listen), strconv.Itoa(cfg.HealthPort)))
	}
	for _, address := range addresses {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("listen on %s: %w", address, err), closeAll(listeners))
		}
		listeners = append(listeners, l)
	}
	return listeners, nil
}

func closeAll(listeners []net.Listener) error {
	var problems []error
	for _, l := range listeners {
		problems = append(problems, l.Close())
	}
	return errors.Join(problems...)
}
