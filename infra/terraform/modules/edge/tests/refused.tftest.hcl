# Every validation refuses what it is there for, and nothing else.
mock_provider "aws" {
  source = "../../tests/mocks"
}

variables {
  health_command      = ["/sponge", "health"]
  health_path         = "/healthz"
  ports               = { frames = 8000, web = 8080, metrics = 9100, tls = 8443, wss = 443 }
  metrics             = { namespace = "Sponge", connections = "Connections" }
  certificate_arn     = "arn:aws:acm:eu-central-1:123456789012:certificate/0"
  vpc_id              = "vpc-0"
  balancer_subnet_ids = ["subnet-8"]
  subnet_ids          = ["subnet-0"]
  security_group_id   = "sg-0"
  cluster             = "chat"
  image               = "r/chat:v1"
  environment         = {}
  secrets             = {}
  secrets_version     = "1.1"
  repository_arn      = "arn:aws:ecr:eu-central-1:123456789012:repository/chat"
  kms_key_arn         = "arn:aws:kms:eu-central-1:123456789012:key/0"
  ecs_cluster_arn     = "arn:aws:ecs:eu-central-1:123456789012:cluster/chat"
  ecs_cluster_name    = "chat"
}

run "accepted" {
  command = plan
}

run "refused_1" {
  command = plan

  variables {
    ports                = { frames = 8000, web = 8000, metrics = 9100, tls = 8443, wss = 443 }
    capacity_provider    = "EC2"
    count_min            = 0
    connections_per_edge = 1
    cpu_target           = 99
    drain_timeout        = 101
    deregistration_delay = -1
    idle_timeout         = 6001
    client_cidrs         = ["everywhere"]
    tls_policy           = "ELBSecurityPolicy-2016-08"
  }

  expect_failures = [
    var.ports,
    var.capacity_provider,
    var.count_min,
    var.connections_per_edge,
    var.cpu_target,
    var.drain_timeout,
    var.deregistration_delay,
    var.idle_timeout,
    var.client_cidrs,
    var.tls_policy,
  ]
}

run "count_max" {
  command = plan

  variables {
    count_max = 1
  }

  expect_failures = [var.count_max]
}

run "zone_id" {
  command = plan

  variables {
    zone_id = "Z0"
  }

  expect_failures = [var.zone_id]
}

run "certificate_arn" {
  command = plan

  variables {
    certificate_arn = null
  }

  expect_failures = [var.certificate_arn]
}
