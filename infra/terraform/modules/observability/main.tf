# Alarms for what a human must look at, and a dashboard that shows why. What
# autoscaling mends by itself has no alarm here.

locals {
  # Everything that AWS measures by itself, and what each role publishes: name
  # of the alarm => metric, bound, and for how many minutes.
  service_alarms = {
    edges-gone = {
      why       = "No edge answers its health check: nobody can connect."
      namespace = "AWS/NetworkELB", metric = "HealthyHostCount", stat = "Maximum"
      dims      = { LoadBalancer = var.balancer.balancer, TargetGroup = var.balancer.target_groups["frames"] }
      below     = 1, minutes = 2, missing = "breaching"
    }
    connections-refused = {
      why       = "The balancer rejects flows: a target group without a target, or its own limits."
      namespace = "AWS/NetworkELB", metric = "RejectedFlowCount", stat = "Sum"
      dims      = { LoadBalancer = var.balancer.balancer }
      above     = 100, minutes = 5, missing = "notBreaching"
    }
    partition-stopped = {
      why       = "A partition was stopped, and waits for a decision: docs/reliability.md."
      namespace = var.metrics.namespace, metric = var.metrics.stopped, stat = "Maximum"
      dims      = { Cluster = var.cluster }
      above     = 0, minutes = 1, missing = "notBreaching"
    }
    dead-frames = {
      why       = "A frame that no handler could take is in the topic sponge.dead."
      namespace = var.metrics.namespace, metric = var.metrics.dead, stat = "Sum"
      dims      = { Cluster = var.cluster }
      above     = 0, minutes = 1, missing = "notBreaching"
    }
    store-cpu = {
      why       = "MySQL's processors are busy: workers will not help."
      namespace = "AWS/RDS", metric = "CPUUtilization", stat = "Average"
      dims      = var.store_dimensions
      above     = 80, minutes = 15, missing = "breaching"
    }
    archive-not-started = {
      why       = "The schedule could not start the archive's task."
      namespace = "AWS/Scheduler", metric = "TargetErrorCount", stat = "Sum"
      dims      = { ScheduleGroup = var.schedule_group }
      above     = 0, minutes = 1, missing = "notBreaching"
    }
    archive-behind = {
      # Told once a run, so the state stays between runs. A run that does not
      # come is archive-not-started, one that fails says how far it came.
      why       = "The archive lacks what is older than ${var.archive_age_hours} hours."
      namespace = var.metrics.namespace, metric = var.metrics.archive_age, stat = "Minimum"
      dims      = { Cluster = var.cluster }
      above     = var.archive_age_hours * 3600, minutes = 1, missing = "ignore"
    }
  }

  age_alarms = { for group in var.groups : "waiting-${group}" => {
    why       = "${group} frames wait longer than ${var.age_alarm} s, though workers were added; or no worker tells."
    namespace = var.metrics.namespace, metric = var.metrics.age, stat = "Maximum"
    dims      = { Cluster = var.cluster, Group = group }
    above     = var.age_alarm, minutes = 5, missing = var.age_missing
  } }

  channel_alarms = merge([for id in var.channel_ids : {
    "${id}-memory" = {
      why       = "Valkey is nearly full; it refuses writes when it is, and edges lose their streams."
      namespace = "AWS/ElastiCache", metric = "DatabaseMemoryUsagePercentage", stat = "Maximum"
      dims      = { CacheClusterId = id }
      above     = 75, minutes = 5, missing = "breaching"
    }
    "${id}-cpu" = {
      why       = "Valkey's one thread is busy: docs/scaling.md."
      namespace = "AWS/ElastiCache", metric = "EngineCPUUtilization", stat = "Average"
      dims      = { CacheClusterId = id }
      above     = 80, minutes = 15, missing = "breaching"
    }
  }]...)

  kafka_alarms = { for name, alarm in {
    queue-offline-partitions = {
      why       = "Kafka has partitions without a leader: their frames are refused with 503."
      namespace = "AWS/Kafka", metric = "OfflinePartitionsCount", stat = "Maximum"
      dims      = { "Cluster Name" = var.kafka_cluster_name }
      above     = 0, minutes = 2, missing = "breaching"
    }
    queue-controller = {
      why       = "Kafka has no controller, or more than one."
      namespace = "AWS/Kafka", metric = "ActiveControllerCount", stat = "Maximum"
      dims      = { "Cluster Name" = var.kafka_cluster_name }
      below     = 1, minutes = 5, missing = "breaching"
    }
  } : name => alarm if var.kafka_kind == "msk" }

  instance_alarms = { for name, alarm in {
    queue-down = {
      why       = "The broker's instance fails its checks: nothing is accepted."
      namespace = "AWS/EC2", metric = "StatusCheckFailed", stat = "Maximum"
      dims      = { InstanceId = var.kafka_instance_id }
      above     = 0, minutes = 3, missing = "breaching"
    }
  } : name => alarm if var.kafka_kind == "broker" }

  function_alarms = { for group, name in var.function_names : "function-${group}" => {
    why       = "The function fails: its partitions wait while batches are repeated."
    namespace = "AWS/Lambda", metric = "Errors", stat = "Sum"
    dims      = { FunctionName = name }
    above     = 3, minutes = 5, missing = "notBreaching"
  } }

  # Maps of one type, so that each alarm has either bound.
  alarms = { for name, alarm in merge(local.service_alarms, local.age_alarms, local.channel_alarms, local.kafka_alarms, local.instance_alarms, local.function_alarms) :
    name => merge({ above = null, below = null }, alarm)
  }
}

resource "aws_sns_topic" "this" {
  name              = "${var.cluster}-alarms"
  kms_master_key_id = var.kms_key_arn
  tags              = var.tags
}

resource "aws_sns_topic_policy" "this" {
  arn = aws_sns_topic.this.arn

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "Alarms"
      Effect    = "Allow"
      Principal = { Service = "cloudwatch.amazonaws.com" }
      Action    = "sns:Publish"
      Resource  = aws_sns_topic.this.arn
      Condition = { StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.this.account_id } }
    }]
  })
}

data "aws_caller_identity" "this" {}
data "aws_region" "this" {}

resource "aws_sns_topic_subscription" "email" {
  for_each = var.emails

  topic_arn = aws_sns_topic.this.arn
  protocol  = "email"
  endpoint  = each.key
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.cluster}-${each.key}"
  alarm_description   = each.value.why
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dims
  statistic           = each.value.stat
  period              = 60
  evaluation_periods  = each.value.minutes
  datapoints_to_alarm = each.value.minutes
  comparison_operator = each.value.above == null ? "LessThanThreshold" : "GreaterThanThreshold"
  threshold           = each.value.above == null ? each.value.below : each.value.above
  treat_missing_data  = each.value.missing
  alarm_actions       = [aws_sns_topic.this.arn]
  ok_actions          = [aws_sns_topic.this.arn]
  tags                = var.tags
}

locals {
  region = data.aws_region.this.region

  widgets = concat(
    [
      { title = "Connections", metrics = [[var.metrics.namespace, var.metrics.connections, "Cluster", var.cluster, { stat = "Average", label = "of an edge, mean" }], ["...", { stat = "Maximum", label = "of an edge, most" }]] },
      { title = "Edges that answer", metrics = [["AWS/NetworkELB", "HealthyHostCount", "TargetGroup", var.balancer.target_groups["frames"], "LoadBalancer", var.balancer.balancer, { stat = "Maximum" }]] },
      { title = "Age of the oldest record, s", metrics = [for group in var.groups : [var.metrics.namespace, var.metrics.age, "Cluster", var.cluster, "Group", group, { stat = "Maximum", label = group }]] },
      { title = "Partitions stopped, dead frames", metrics = [[var.metrics.namespace, var.metrics.stopped, "Cluster", var.cluster, { stat = "Maximum" }], [var.metrics.namespace, var.metrics.dead, "Cluster", var.cluster, { stat = "Sum" }]] },
      { title = "Flows", metrics = [["AWS/NetworkELB", "ActiveFlowCount", "LoadBalancer", var.balancer.balancer, { stat = "Average" }], [".", "NewFlowCount", ".", ".", { stat = "Sum" }]] },
      { title = "MySQL CPU, %", metrics = [concat(["AWS/RDS", "CPUUtilization"], flatten([for name, value in var.store_dimensions : [name, value]]), [{ stat = "Average" }])] },
      { title = "MySQL connections", metrics = [concat(["AWS/RDS", "DatabaseConnections"], flatten([for name, value in var.store_dimensions : [name, value]]), [{ stat = "Maximum" }])] },
      { title = "Valkey memory, %", metrics = [for id in var.channel_ids : ["AWS/ElastiCache", "DatabaseMemoryUsagePercentage", "CacheClusterId", id, { stat = "Maximum", label = id }]] },
    ],
    var.ecs_cluster_name == null ? [] : [
      { title = "CPU of the services, %", metrics = [for name in var.service_names : ["AWS/ECS", "CPUUtilization", "ClusterName", var.ecs_cluster_name, "ServiceName", name, { stat = "Average", label = name }]] },
    ],
    length(var.function_names) == 0 ? [] : [
      { title = "Functions: duration, ms", metrics = [for group, name in var.function_names : ["AWS/Lambda", "Duration", "FunctionName", name, { stat = "p99", label = group }]] },
    ],
    var.kafka_kind != "msk" ? [] : [
      { title = "Kafka: time lag by topic, s", metrics = [for group in var.groups : ["AWS/Kafka", "EstimatedMaxTimeLag", "Cluster Name", var.kafka_cluster_name, "Consumer Group", var.topics[group], "Topic", var.topics[group], { stat = "Maximum", label = group }]] },
    ],
  )
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.cluster

  dashboard_body = jsonencode({
    widgets = [for i, widget in local.widgets : {
      type       = "metric"
      x          = (i % 2) * 12
      y          = floor(i / 2) * 6
      width      = 12
      height     = 6
      properties = { title = widget.title, metrics = widget.metrics, region = local.region, view = "timeSeries", period = 60 }
    }]
  })
}
