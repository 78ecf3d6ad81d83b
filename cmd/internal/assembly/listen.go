package assembly

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
)

// place is an address that this process is to listen on, and the flag that it came by.
type place struct{ flag, address string }

// checkPlaces says which addresses cannot be listened on and what to do, all of
// them at once, before anything is started.
func checkPlaces(ctx context.Context, places ...place) error {
	var problems []error
	for _, p := range places {
		if p.address == "" {
			continue
		}
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", p.address)
		switch {
		case err == nil:
			problems = append(problems, l.Close())
		case errors.Is(err, syscall.EADDRINUSE):
			problems = append(problems, fmt.Errorf(
				"%s %s is in use by another program: stop that, or give another address with %s", p.flag, p.address, p.flag))
		case errors.Is(err, syscall.EACCES):
			problems = append(problems, fmt.Errorf(
				"%s %s may not be listened on by this user: give a port above 1023 with %s", p.flag, p.address, p.flag))
		default:
			problems = append(problems, fmt.Errorf("%s %s cannot be listened on: %w", p.flag, p.address, err))
		}
	}
	return errors.Join(problems...)
}

func (c UpConfig) places() []place {
	return []place{
		{"--data-listen", c.DataListen}, {"--control-listen", c.ControlListen}, {"--nats-listen", c.NATSListen}, {"--health-listen", c.HealthListen},
	}
}

func (c ServeConfig) places() []place {
	out := []place{{"--health-listen", c.HealthListen}}
	for _, name := range c.Services {
		switch name {
		case routerService:
			out = append(out, place{"--data-listen", c.DataListen})
		case gatewayService: // has no listener of its own for services
			out = append(out, place{"--control-listen", c.ControlListen})
			continue
		}
		out = append(out, place{"--address " + name, c.Addresses[name]})
	}
	return out
}
