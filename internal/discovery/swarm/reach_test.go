package swarm

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/swarm"

	"fairway/internal/catalog"
	"fairway/internal/dockerapi/dockertest"
)

// TestReach demands that addresses are within reach on exactly the networks that
// Fairway's own container is on.
func TestReach(t *testing.T) {
	const self = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	for _, c := range []struct {
		name    string
		prepare func(*lab)
		want    string
	}{
		{"a task", func(l *lab) {
			l.service("fairway")
			l.task("f", "fairway", is(swarm.TaskStateRunning), func(t *swarm.Task) {
				t.Status.ContainerStatus = &swarm.ContainerStatus{ContainerID: self}
			})
		}, "shared"},
		{"a container on the network", func(l *lab) { l.self = inspected(self, "proxy") }, "shared"},
		{"a container elsewhere", func(l *lab) { l.self = inspected(self, "back") }, "none"},
		{"another machine", func(*lab) {}, "none"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, 1, func(l *lab, o *Options) {
				o.SelfID = self
				l.service("shop", func(s *swarm.Service) {
					s.Endpoint.VirtualIPs = []swarm.EndpointVirtualIP{vip("net-proxy", "10.5.0.99/24"), vip("net-ingress", "10.7.0.99/24"), vip("net-unknown", "10.9.0.1/24")}
				})
				l.task("t", "shop", is(swarm.TaskStateRunning), at(1, "n2"))
				c.prepare(l)
			}, func(l *lab, w *watch) {
				time.Sleep(2 * time.Second)
				shop := w.service("shop@swarm")
				got := fmt.Sprint(shop.Virtual, shop.Instances[0].Addresses)
				want := fmt.Sprintf("[{10.5.0.99 0 proxy %s false}] [{10.5.0.1 0 proxy %s false}]", c.want, c.want)
				if got != want {
					t.Errorf("addresses %s, want %s", got, want)
				}
			})
		})
	}
	t.Run("connected later", func(t *testing.T) {
		bubble(t, 1, func(l *lab, o *Options) {
			o.SelfID = self
			l.self = inspected(self, "back")
			shop(l)
		}, func(l *lab, w *watch) {
			time.Sleep(time.Minute)
			l.do(func() {
				l.self = inspected(self, "back", "proxy")
				l.emit("network", "connect", "net-proxy", "container", self, "name", "proxy")
			})
			synctest.Wait()
			if got := w.service("shop@swarm").Instances[0].Addresses[0].Reach; got != catalog.ReachShared {
				t.Errorf("reach %q", got)
			}
		})
	})
	t.Run("the engine is silent", func(t *testing.T) {
		bubble(t, 1, func(l *lab, o *Options) {
			o.SelfID = self
			shop(l)
			l.engines[0].Disturb("/containers/"+self+"/json", dockertest.Error)
		}, func(l *lab, w *watch) {
			time.Sleep(2 * time.Second)
			if w.newest().Err == nil {
				t.Error("everything is out of reach, and that is no error")
			}
		})
	})
}

func inspected(id string, networks ...string) *container.InspectResponse {
	i := &container.InspectResponse{ID: id, NetworkSettings: &container.NetworkSettings{Networks: map[string]*network.EndpointSettings{}}}
	for _, n := range networks {
		i.NetworkSettings.Networks[n] = &network.EndpointSettings{NetworkID: "net-" + n}
	}
	return i
}

func vip(network, prefix string) swarm.EndpointVirtualIP {
	var v swarm.EndpointVirtualIP
	v.NetworkID = network
	if err := v.Addr.UnmarshalText([]byte(prefix)); err != nil {
		panic(err)
	}
	return v
}
