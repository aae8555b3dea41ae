# One ECS service for each entry of var.services: usually one a handler group,
# so that each grows by itself; or one for all groups, where money counts more.
#
# Before a worker of a new version starts, `sponge migrate` has run in the same
# task: the worker's container waits for its success. It is safe to run it
# often and by many at once (it holds a lock in MySQL), so no human and no
# pipeline has to remember it, and a version whose migration fails never
# serves: the deployment is rolled back and the old workers go on. They do so
# on the new schema for a while, which migrations therefore must bear.
#
# A worker that is told to stop finishes the batches under way and leaves its
# consumer group; one that is killed costs the others its session timeout.

module "task" {
  source   = "../task"
  for_each = var.services

  cluster            = var.cluster
  name               = "worker-${each.key}"
  image              = var.image
  command            = concat(["worker"], each.value.groups)
  cpu                = each.value.cpu
  memory             = each.value.memory
  cpu_architecture   = var.cpu_architecture
  environment        = merge(var.environment, each.value.environment)
  secrets            = var.secrets
  secrets_version    = var.secrets_version
  before             = { name = "migrate", command = ["migrate"], environment = var.migrate.environment, secrets = var.migrate.secrets, timeout = 120 }
  ports              = { metrics = var.metrics_port }
  health_command     = var.health_command
  start_period       = 180 # partitions may still belong to others
  stop_timeout       = 60
  repository_arn     = var.repository_arn
  log_retention_days = var.log_retention_days
  kms_key_arn        = var.kms_key_arn
  tags               = var.tags
}

resource "aws_ecs_service" "this" {
  #checkov:skip=CKV_AWS_333:assign_public_ip is a variable: a small deployment saves NAT gateway and endpoints; nobody is admitted by the security group
  for_each = var.services

  name             = "worker-${each.key}"
  cluster          = var.ecs_cluster_arn
  task_definition  = module.task[each.key].task_definition_arn
  platform_version = "LATEST"
  desired_count    = each.value.min
  propagate_tags   = "SERVICE"
  tags             = var.tags

  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  availability_zone_rebalancing      = "ENABLED"

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

  # Autoscaling decides from here on.
  lifecycle {
    ignore_changes = [desired_count]
  }
}

# --- how many: by the age of the oldest record that waits, not by how many
# wait. A thousand records are nothing to a group that handles ten thousand a
# second; one that has waited for five seconds is a user who does.

resource "aws_appautoscaling_target" "this" {
  for_each = var.services

  service_namespace  = "ecs"
  resource_id        = "service/${var.ecs_cluster_name}/${aws_ecs_service.this[each.key].name}"
  scalable_dimension = "ecs:service:DesiredCount"
  min_capacity       = each.value.min
  max_capacity       = each.value.max
  tags               = var.tags
}

# Age is no measure of how many are needed, so this is steps, not a target:
# half as many again where records wait, twice as many where they wait four
# times as long. (Bounds count from the alarm's threshold.)
resource "aws_appautoscaling_policy" "out" {
  for_each = var.services

  name               = "${var.cluster}-worker-${each.key}-out"
  policy_type        = "StepScaling"
  service_namespace  = aws_appautoscaling_target.this[each.key].service_namespace
  resource_id        = aws_appautoscaling_target.this[each.key].resource_id
  scalable_dimension = aws_appautoscaling_target.this[each.key].scalable_dimension

  step_scaling_policy_configuration {
    adjustment_type          = "PercentChangeInCapacity"
    min_adjustment_magnitude = 1
    metric_aggregation_type  = "Maximum"
    cooldown                 = 120 # a start, its migrate and a rebalance

    step_adjustment {
      metric_interval_lower_bound = 0
      metric_interval_upper_bound = 3 * var.age_out
      scaling_adjustment          = 50
    }

    step_adjustment {
      metric_interval_lower_bound = 3 * var.age_out
      scaling_adjustment          = 100
    }
  }
}

# One at a time, and seldom: each that leaves costs its group a rebalance.
resource "aws_appautoscaling_policy" "in" {
  for_each = var.services

  name               = "${var.cluster}-worker-${each.key}-in"
  policy_type        = "StepScaling"
  service_namespace  = aws_appautoscaling_target.this[each.key].service_namespace
  resource_id        = aws_appautoscaling_target.this[each.key].resource_id
  scalable_dimension = aws_appautoscaling_target.this[each.key].scalable_dimension

  step_scaling_policy_configuration {
    adjustment_type         = "ChangeInCapacity"
    metric_aggregation_type = "Maximum"
    cooldown                = 600

    step_adjustment {
      metric_interval_lower_bound = 0
      scaling_adjustment          = -1
    }
  }
}

locals {
  # A service is as old as the oldest of its groups.
  age = { for name, service in var.services : name => length(service.groups) == 1 ? "age0" : "MAX([${join(",", [for i in range(length(service.groups)) : "age${i}"])}])" }
}

resource "aws_cloudwatch_metric_alarm" "out" {
  for_each = var.services

  alarm_name          = "${var.cluster}-worker-${each.key}-out"
  alarm_description   = "Records wait longer than ${var.age_out} s: more workers."
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.age_out
  evaluation_periods  = 3
  datapoints_to_alarm = 2
  treat_missing_data  = "missing"
  alarm_actions       = [aws_appautoscaling_policy.out[each.key].arn]
  tags                = var.tags

  metric_query {
    id          = "age"
    label       = "Oldest record, s"
    expression  = local.age[each.key]
    return_data = true
  }

  dynamic "metric_query" {
    for_each = each.value.groups

    content {
      id = "age${metric_query.key}"

      metric {
        namespace   = var.metrics.namespace
        metric_name = var.metrics.age
        dimensions  = { Cluster = var.cluster, Group = metric_query.value }
        period      = 60
        stat        = "Maximum"
      }
    }
  }
}

# Idle means both: nothing waits, and the processors have time. By age alone a
# group that is just large enough would shrink.
resource "aws_cloudwatch_metric_alarm" "in" {
  for_each = var.services

  alarm_name          = "${var.cluster}-worker-${each.key}-in"
  alarm_description   = "For 15 minutes nothing waited and CPU was below ${var.cpu_in} %: one worker less."
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  evaluation_periods  = 15
  datapoints_to_alarm = 15
  treat_missing_data  = "missing"
  alarm_actions       = [aws_appautoscaling_policy.in[each.key].arn]
  tags                = var.tags

  metric_query {
    id          = "idle"
    label       = "Idle"
    expression  = "IF(${local.age[each.key]} < ${var.age_in} AND cpu < ${var.cpu_in}, 1, 0)"
    return_data = true
  }

  metric_query {
    id = "cpu"

    metric {
      namespace   = "AWS/ECS"
      metric_name = "CPUUtilization"
      dimensions  = { ClusterName = var.ecs_cluster_name, ServiceName = aws_ecs_service.this[each.key].name }
      period      = 60
      stat        = "Average"
    }
  }

  dynamic "metric_query" {
    for_each = each.value.groups

    content {
      id = "age${metric_query.key}"

      metric {
        namespace   = var.metrics.namespace
        metric_name = var.metrics.age
        dimensions  = { Cluster = var.cluster, Group = metric_query.value }
        period      = 60
        stat        = "Maximum"
      }
    }
  }
}
