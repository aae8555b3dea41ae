# Edges behind a network load balancer. A deployment loses nothing:
#
#   1. A new edge starts and answers its health check.
#   2. The old one is deregistered: within deregistration_delay the balancer
#      stops sending it new connections; those it has stay.
#   3. It is told to stop (SIGTERM). It closes its listeners, tells every client
#      to come back after a moment of its own choice (98), waits up to
#      drain_timeout for the answers that are outstanding, and ends.
#   4. stop_timeout, which is longer, would kill it.
#
# So the balancer must not cut connections by itself: connection_termination is
# off, and the deregistration delay is not there for them to end.

module "task" {
  source = "../task"

  cluster            = var.cluster
  name               = "edge"
  image              = var.image
  command            = var.command
  cpu                = var.cpu
  memory             = var.memory
  cpu_architecture   = var.cpu_architecture
  environment        = var.environment
  secrets            = var.secrets
  secrets_version    = var.secrets_version
  ports              = { frames = var.ports.frames, web = var.ports.web, metrics = var.ports.metrics }
  open_files         = 1048576 # each connection is one
  health_command     = var.health_command
  stop_timeout       = var.drain_timeout + 15
  repository_arn     = var.repository_arn
  log_retention_days = var.log_retention_days
  kms_key_arn        = var.kms_key_arn
  tags               = var.tags
}

# --- the balancer

resource "aws_security_group" "balancer" {
  name        = "${var.cluster}-balancer"
  description = "Clients of ${var.cluster}"
  vpc_id      = var.vpc_id
  tags        = merge(var.tags, { Name = "${var.cluster}-balancer" })
}

locals {
  # 8000 is the plain wire, 8443 the same over TLS, 443 WebSockets over TLS.
  listeners = merge(
    var.plain_tcp ? { frames = { port = var.ports.frames, protocol = "TCP", target = "frames" } } : {},
    { tls = { port = var.ports.tls, protocol = "TLS", target = "frames" } },
    { wss = { port = var.ports.wss, protocol = "TLS", target = "web" } },
  )

  ingress = merge([for name, listener in local.listeners : { for cidr in var.client_cidrs : "${name}-${cidr}" => { cidr = cidr, port = listener.port, name = name } }]...)

  # What the balancer asks of an edge.
  inner = { frames = var.ports.frames, web = var.ports.web, metrics = var.ports.metrics }
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  for_each = local.ingress

  security_group_id = aws_security_group.balancer.id
  description       = "Clients: ${each.value.name}"
  cidr_ipv4         = each.value.cidr
  from_port         = each.value.port
  to_port           = each.value.port
  ip_protocol       = "tcp"
}

resource "aws_vpc_security_group_egress_rule" "edges" {
  for_each = local.inner

  security_group_id            = aws_security_group.balancer.id
  description                  = "Edges: ${each.key}"
  referenced_security_group_id = var.security_group_id
  from_port                    = each.value
  to_port                      = each.value
  ip_protocol                  = "tcp"
}

resource "aws_vpc_security_group_ingress_rule" "balancer" {
  for_each = local.inner

  security_group_id            = var.security_group_id
  description                  = "The balancer: ${each.key}"
  referenced_security_group_id = aws_security_group.balancer.id
  from_port                    = each.value
  to_port                      = each.value
  ip_protocol                  = "tcp"
}

resource "aws_lb" "this" {
  #checkov:skip=CKV_AWS_91:Access logs of a network balancer tell of TLS handshakes only; who connected is in the edges' log and every frame in the topics
  #checkov:skip=CKV_AWS_150:Protection is on by default; deletion_protection turns it off for a trial
  #checkov:skip=CKV2_AWS_20:A network balancer has no redirects, and this is no HTTP
  #checkov:skip=CKV2_AWS_28:WAF does not work with network balancers
  name                             = var.cluster
  load_balancer_type               = "network"
  internal                         = var.internal
  subnets                          = var.balancer_subnet_ids
  security_groups                  = [aws_security_group.balancer.id]
  enable_cross_zone_load_balancing = true # a zone with fewer edges would fill them first
  enable_deletion_protection       = var.deletion_protection
  tags                             = var.tags
}

resource "aws_lb_target_group" "this" {
  #checkov:skip=CKV_AWS_378:Behind the balancer is the private network; the balancer ends TLS
  for_each = { frames = var.ports.frames, web = var.ports.web }

  name                   = "${var.cluster}-${each.key}"
  vpc_id                 = var.vpc_id
  target_type            = "ip"
  protocol               = "TCP"
  port                   = each.value
  preserve_client_ip     = "true" # every record names the peer's address
  deregistration_delay   = var.deregistration_delay
  connection_termination = false
  tags                   = var.tags

  health_check {
    protocol            = "HTTP"
    port                = tostring(var.ports.metrics)
    path                = var.health_path
    matcher             = "200"
    interval            = 10
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 2
  }

  # An edge that answers no health check is dead: its clients must learn it, or
  # they wait for their keep-alive.
  target_health_state {
    enable_unhealthy_connection_termination = true
  }
}

resource "aws_lb_listener" "this" {
  #checkov:skip=CKV_AWS_2:The plain wire (8000) is TCP; TLS has its own ports, and plain_tcp turns this one off
  #checkov:skip=CKV_AWS_103:The policy is a variable whose default is TLS 1.2 or later; the plain listener has none
  for_each = local.listeners

  load_balancer_arn = aws_lb.this.arn
  port              = each.value.port
  protocol          = each.value.protocol
  certificate_arn   = each.value.protocol == "TLS" ? local.certificate_arn : null
  ssl_policy        = each.value.protocol == "TLS" ? var.tls_policy : null
  alpn_policy       = each.key == "wss" ? "HTTP1Only" : null # WebSockets begin as HTTP/1.1
  tags              = var.tags

  # TLS listeners have 350 s for good. Either way an edge's TCP keep-alive
  # (every 30 s) begins the time anew, so that silence closes nothing.
  tcp_idle_timeout_seconds = each.value.protocol == "TCP" ? var.idle_timeout : null

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this[each.value.target].arn
  }
}

# --- the name and its certificate

locals {
  certificate_arn = var.certificate_arn != null ? var.certificate_arn : aws_acm_certificate_validation.this[0].certificate_arn
}

resource "aws_acm_certificate" "this" {
  count = var.certificate_arn == null ? 1 : 0

  domain_name       = var.domain
  validation_method = "DNS"
  key_algorithm     = "EC_prime256v1"
  tags              = var.tags

  lifecycle {
    create_before_destroy = true
  }
}

# One name, one record: known before the certificate is.
resource "aws_route53_record" "validation" {
  count = var.certificate_arn == null ? 1 : 0

  zone_id         = var.zone_id
  name            = one(aws_acm_certificate.this[0].domain_validation_options).resource_record_name
  type            = one(aws_acm_certificate.this[0].domain_validation_options).resource_record_type
  records         = [one(aws_acm_certificate.this[0].domain_validation_options).resource_record_value]
  ttl             = 60
  allow_overwrite = true
}

resource "aws_acm_certificate_validation" "this" {
  count = var.certificate_arn == null ? 1 : 0

  certificate_arn         = aws_acm_certificate.this[0].arn
  validation_record_fqdns = [aws_route53_record.validation[0].fqdn]
}

resource "aws_route53_record" "this" {
  count = var.zone_id == null ? 0 : 1

  zone_id = var.zone_id
  name    = var.domain
  type    = "A"

  alias {
    name                   = aws_lb.this.dns_name
    zone_id                = aws_lb.this.zone_id
    evaluate_target_health = true
  }
}

# --- the service

resource "aws_ecs_service" "this" {
  #checkov:skip=CKV_AWS_333:assign_public_ip is a variable: a small deployment saves NAT gateway and endpoints; the security group admits the balancer alone
  name             = "edge"
  cluster          = var.ecs_cluster_arn
  task_definition  = module.task.task_definition_arn
  platform_version = "LATEST"
  desired_count    = var.count_min
  propagate_tags   = "SERVICE"
  tags             = var.tags

  deployment_minimum_healthy_percent = 100 # a new edge first
  deployment_maximum_percent         = 200
  availability_zone_rebalancing      = "ENABLED"
  health_check_grace_period_seconds  = 120

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  capacity_provider_strategy {
    capacity_provider = var.capacity_provider
    weight            = 1
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [var.security_group_id]
    assign_public_ip = var.assign_public_ip
  }

  dynamic "load_balancer" {
    for_each = { frames = var.ports.frames, web = var.ports.web }

    content {
      target_group_arn = aws_lb_target_group.this[load_balancer.key].arn
      container_name   = module.task.container_name
      container_port   = load_balancer.value
    }
  }

  # Autoscaling decides from here on.
  lifecycle {
    ignore_changes = [desired_count]
  }

  depends_on = [aws_lb_listener.this]
}

# --- how many

resource "aws_appautoscaling_target" "this" {
  service_namespace  = "ecs"
  resource_id        = "service/${var.ecs_cluster_name}/${aws_ecs_service.this.name}"
  scalable_dimension = "ecs:service:DesiredCount"
  min_capacity       = var.count_min
  max_capacity       = var.count_max
  tags               = var.tags
}

# Connections are what an edge is made of, and they come back within seconds
# when one leaves: out at once, in slowly, since each edge that goes sends its
# clients away.
resource "aws_appautoscaling_policy" "connections" {
  name               = "${var.cluster}-edge-connections"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.this.service_namespace
  resource_id        = aws_appautoscaling_target.this.resource_id
  scalable_dimension = aws_appautoscaling_target.this.scalable_dimension

  target_tracking_scaling_policy_configuration {
    target_value       = var.connections_per_edge
    scale_out_cooldown = 60
    scale_in_cooldown  = 900

    customized_metric_specification {
      namespace   = var.metrics.namespace
      metric_name = var.metrics.connections
      statistic   = "Average" # each edge publishes its own
      unit        = "Count"

      dimensions {
        name  = "Cluster"
        value = var.cluster
      }
    }
  }
}

resource "aws_appautoscaling_policy" "cpu" {
  name               = "${var.cluster}-edge-cpu"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.this.service_namespace
  resource_id        = aws_appautoscaling_target.this.resource_id
  scalable_dimension = aws_appautoscaling_target.this.scalable_dimension

  target_tracking_scaling_policy_configuration {
    target_value       = var.cpu_target
    scale_out_cooldown = 60
    scale_in_cooldown  = 900

    predefined_metric_specification {
      predefined_metric_type = "ECSServiceAverageCPUUtilization"
    }
  }
}
