package assembly

import (
	"net"
	"strings"
	"testing"
)

func TestAnAddressInUseIsToldWithItsFlag(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().String()
	up := UpConfig{DataListen: taken, ControlListen: "127.0.0.1:0", NATSListen: taken, HealthListen: "nonsense"}
	err = checkPlaces(t.Context(), up.places()...)
	for _, want := range []string{"another address with --data-listen", "another address with --nats-listen", "--health-listen nonsense cannot", taken} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	serve := ServeConfig{
		Services: []string{routerService, authService, gatewayService}, ControlListen: taken,
		Addresses: map[string]string{authService: taken, deployService: taken, gatewayService: taken},
	}
	err = checkPlaces(t.Context(), serve.places()...)
	for want, n := range map[string]int{"--control-listen " + taken: 1, "--address auth": 2, "deploy": 0, "gateway": 0} {
		if err == nil || strings.Count(err.Error(), want) != n {
			t.Errorf("%v says %q not %d times", err, want, n)
		}
	}
	if err := checkPlaces(t.Context(), UpConfig{DataListen: "127.0.0.1:0"}.places()...); err != nil {
		t.Error(err)
	}
}
