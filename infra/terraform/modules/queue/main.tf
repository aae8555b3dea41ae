# Kafka by MSK: TLS everywhere, SCRAM for clients. Topics are not made here but
# by `sponge migrate`, which knows their partitions and retention.

resource "aws_security_group" "this" {
  name        = "${var.name}-queue"
  description = "Kafka brokers"
  vpc_id      = var.vpc_id
  tags        = merge(var.tags, { Name = "${var.name}-queue" })
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  for_each = var.client_security_group_ids

  security_group_id            = aws_security_group.this.id
  description                  = "SASL/SCRAM over TLS, from ${each.key}"
  referenced_security_group_id = each.value
  from_port                    = var.port
  to_port                      = var.port
  ip_protocol                  = "tcp"
}

# Event source mappings of Lambda open their connections from within the
# brokers' own security group, to the brokers and to the endpoints of AWS APIs.
resource "aws_vpc_security_group_ingress_rule" "pollers" {
  count = var.allow_pollers ? 1 : 0

  security_group_id            = aws_security_group.this.id
  description                  = "Pollers of event source mappings"
  referenced_security_group_id = aws_security_group.this.id
  from_port                    = var.port
  to_port                      = var.port
  ip_protocol                  = "tcp"
}

resource "aws_vpc_security_group_egress_rule" "pollers" {
  for_each = var.allow_pollers ? { brokers = var.port, apis = 443 } : {}

  security_group_id = aws_security_group.this.id
  description       = "Pollers of event source mappings: ${each.key}"
  cidr_ipv4         = var.vpc_cidr
  from_port         = each.value
  to_port           = each.value
  ip_protocol       = "tcp"
}

resource "aws_msk_configuration" "this" {
  name           = var.name
  kafka_versions = [var.kafka_version]
  description    = "What Sponge relies on: docs/services.md"

  # The session timeout's bound lets a dead worker's partitions go to others
  # after 1.5 s instead of 6. Nothing is acknowledged that fewer than two
  # brokers have, and none that lacks it can become leader.
  server_properties = join("\n", concat([for key, value in {
    "auto.create.topics.enable"      = "false"
    "default.replication.factor"     = min(3, var.brokers)
    "group.min.session.timeout.ms"   = 1000
    "message.max.bytes"              = 1048588
    "min.insync.replicas"            = min(2, var.brokers)
    "unclean.leader.election.enable" = "false"
  } : "${key}=${value}"], [""]))
}

resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_338:How long logs are kept is a variable, a year by default; a small deployment keeps them for less
  name              = "/${var.name}/kafka"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
  tags              = var.tags
}

resource "aws_msk_cluster" "this" {
  cluster_name           = var.name
  kafka_version          = var.kafka_version
  number_of_broker_nodes = var.brokers
  enhanced_monitoring    = "PER_BROKER"
  tags                   = var.tags

  broker_node_group_info {
    instance_type   = var.instance_type
    client_subnets  = var.subnet_ids
    security_groups = [aws_security_group.this.id]

    storage_info {
      ebs_storage_info {
        volume_size = var.storage_gib
      }
    }
  }

  client_authentication {
    unauthenticated = false

    sasl {
      scram = true
      iam   = false
    }
  }

  configuration_info {
    arn      = aws_msk_configuration.this.arn
    revision = aws_msk_configuration.this.latest_revision
  }

  encryption_info {
    encryption_at_rest_kms_key_arn = var.kms_key_arn

    encryption_in_transit {
      client_broker = "TLS"
      in_cluster    = true
    }
  }

  logging_info {
    broker_logs {
      cloudwatch_logs {
        enabled   = true
        log_group = aws_cloudwatch_log_group.this.name
      }
    }
  }

  # Storage only grows: an automatic growth must not be taken back.
  lifecycle {
    ignore_changes = [broker_node_group_info[0].storage_info[0].ebs_storage_info[0].volume_size]
  }
}

# Records are kept for good, so the disks grow with them.
resource "aws_appautoscaling_target" "storage" {
  service_namespace  = "kafka"
  resource_id        = aws_msk_cluster.this.arn
  scalable_dimension = "kafka:broker-storage:VolumeSize"
  min_capacity       = var.storage_gib
  max_capacity       = var.storage_max_gib
  tags               = var.tags
}

resource "aws_appautoscaling_policy" "storage" {
  name               = "${var.name}-kafka-storage"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.storage.service_namespace
  resource_id        = aws_appautoscaling_target.storage.resource_id
  scalable_dimension = aws_appautoscaling_target.storage.scalable_dimension

  target_tracking_scaling_policy_configuration {
    target_value     = 60
    disable_scale_in = true # MSK cannot shrink a volume

    predefined_metric_specification {
      predefined_metric_type = "KafkaBrokerStorageUtilization"
    }
  }
}

resource "aws_msk_scram_secret_association" "this" {
  cluster_arn     = aws_msk_cluster.this.arn
  secret_arn_list = [var.credentials_secret_arn]
}
