# The same handler groups as Lambda functions. Pollers of the event source
# mapping read the topics and hand each function a batch of several partitions;
# within a partition the next batch waits for the one before, so order is kept.
# MySQL alone decides what was applied, so a batch may come twice.

data "aws_region" "this" {}
data "aws_caller_identity" "this" {}
data "aws_partition" "this" {}

locals {
  architecture = var.cpu_architecture == "ARM64" ? "arm64" : "x86_64"

  functions = merge(
    { for group in var.groups : group => { memory = var.memory, timeout = var.timeout, concurrency = var.partitions[group], environment = var.environment } },
    { migrate = { memory = 256, timeout = 120, concurrency = 1, environment = var.migrate_environment } },
  )

  region  = data.aws_region.this.region
  account = data.aws_caller_identity.this.account_id
}

resource "aws_cloudwatch_log_group" "this" {
  for_each = local.functions

  name              = "/${var.cluster}/function-${each.key}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
  tags              = var.tags
}

resource "aws_iam_role" "this" {
  for_each = local.functions

  name = "${var.cluster}-function-${each.key}"
  tags = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "lambda.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy" "this" {
  #checkov:skip=CKV_AWS_290:Lambda's network interfaces are named only when they exist; EC2 takes no narrower resource for them
  #checkov:skip=CKV_AWS_355:As for CKV_AWS_290, EC2 takes no narrower resource
  for_each = local.functions

  name = "run"
  role = aws_iam_role.this[each.key].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([
      {
        Sid      = "Log"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = "${aws_cloudwatch_log_group.this[each.key].arn}:*"
      },
      {
        Sid      = "Secrets"
        Effect   = "Allow"
        Action   = "secretsmanager:GetSecretValue"
        Resource = var.secret_arns
      },
      {
        Sid       = "SecretsKey"
        Effect    = "Allow"
        Action    = "kms:Decrypt"
        Resource  = var.kms_key_arn
        Condition = { StringEquals = { "kms:ViaService" = "secretsmanager.${local.region}.amazonaws.com" } }
      },
      {
        Sid      = "Traces"
        Effect   = "Allow"
        Action   = ["xray:PutTraceSegments", "xray:PutTelemetryRecords"]
        Resource = "*" # the actions know no resources
      },
      {
        # As AWS's own AWSLambdaMSKExecutionRole has it: the service attaches
        # functions and pollers to the VPC in their name.
        Sid    = "Network"
        Effect = "Allow"
        Action = [
          "ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface", "ec2:DescribeNetworkInterfaces",
          "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcs",
        ]
        Resource = "*"
      },
      {
        # The permission is the service's. Code of the function is kept from it.
        Sid      = "NoNetworkForCode"
        Effect   = "Deny"
        Action   = ["ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface"]
        Resource = "*"
        Condition = {
          ArnEquals = { "lambda:SourceFunctionArn" = "arn:${data.aws_partition.this.partition}:lambda:${local.region}:${local.account}:function:${var.cluster}-${each.key}" }
        }
      },
      ], [for statement in [
        {
          Sid      = "Brokers"
          Effect   = "Allow"
          Action   = ["kafka:DescribeCluster", "kafka:DescribeClusterV2", "kafka:GetBootstrapBrokers"]
          Resource = var.kafka_cluster_arn
        },
    ] : statement if each.key != "migrate"])
  })
}

# The schema first: this function runs once for every image, and fails the apply
# if it fails. Only then do the others get that image.
resource "aws_lambda_function" "migrate" {
  #checkov:skip=CKV_AWS_116:A dead letter queue is for asynchronous calls; the apply waits for this one
  #checkov:skip=CKV_AWS_272:Signing is for archives; the image's tag cannot be moved
  function_name                  = "${var.cluster}-migrate"
  description                    = "Schema and topics"
  role                           = aws_iam_role.this["migrate"].arn
  package_type                   = "Image"
  image_uri                      = var.image
  architectures                  = [local.architecture]
  memory_size                    = local.functions["migrate"].memory
  timeout                        = local.functions["migrate"].timeout
  reserved_concurrent_executions = local.functions["migrate"].concurrency
  kms_key_arn                    = var.kms_key_arn
  tags                           = var.tags

  image_config {
    command = ["function", "migrate"]
  }

  environment {
    variables = local.functions["migrate"].environment
  }

  vpc_config {
    subnet_ids         = var.subnet_ids
    security_group_ids = [var.security_group_id]
  }

  logging_config {
    log_format            = "JSON"
    log_group             = aws_cloudwatch_log_group.this["migrate"].name
    application_log_level = "INFO"
    system_log_level      = "WARN"
  }

  tracing_config {
    mode = "Active"
  }

  depends_on = [aws_iam_role_policy.this]
}

resource "aws_lambda_invocation" "migrate" {
  function_name = aws_lambda_function.migrate.function_name
  input         = jsonencode({})
  triggers      = { image = var.image, secrets = var.secrets_version }
}

resource "aws_lambda_function" "group" {
  #checkov:skip=CKV_AWS_116:A dead letter queue is for asynchronous calls; what no handler can take goes to the topic sponge.dead
  #checkov:skip=CKV_AWS_272:Signing is for archives; the image's tag cannot be moved
  for_each = var.groups

  function_name                  = "${var.cluster}-${each.key}"
  description                    = "Handles ${each.key} frames"
  role                           = aws_iam_role.this[each.key].arn
  package_type                   = "Image"
  image_uri                      = var.image
  architectures                  = [local.architecture]
  memory_size                    = local.functions[each.key].memory
  timeout                        = local.functions[each.key].timeout
  reserved_concurrent_executions = local.functions[each.key].concurrency
  kms_key_arn                    = var.kms_key_arn
  tags                           = var.tags

  image_config {
    command = ["function", each.key]
  }

  environment {
    variables = local.functions[each.key].environment
  }

  vpc_config {
    subnet_ids         = var.subnet_ids
    security_group_ids = [var.security_group_id]
  }

  logging_config {
    log_format            = "JSON"
    log_group             = aws_cloudwatch_log_group.this[each.key].name
    application_log_level = "INFO"
    system_log_level      = "WARN"
  }

  tracing_config {
    mode = "Active"
  }

  depends_on = [aws_lambda_invocation.migrate]
}

resource "aws_lambda_event_source_mapping" "this" {
  for_each = var.groups

  function_name    = aws_lambda_function.group[each.key].arn
  event_source_arn = var.kafka_cluster_arn
  topics           = [var.topics[each.key]]
  batch_size       = var.batch_size
  enabled          = true
  tags             = var.tags

  # Nothing is skipped, ever: from the first record on, and a batch that fails
  # is repeated until it succeeds. A half that fails holds up its partition.
  starting_position                  = "TRIM_HORIZON"
  maximum_batching_window_in_seconds = 0
  maximum_retry_attempts             = -1
  maximum_record_age_in_seconds      = -1
  bisect_batch_on_function_error     = true
  function_response_types            = ["ReportBatchItemFailures"]

  # Handling of failures, and starts without delay, need provisioned pollers.
  provisioned_poller_config {
    minimum_pollers = var.pollers.min
    maximum_pollers = var.pollers.max
  }

  amazon_managed_kafka_event_source_config {
    # The group that workers use, too: whoever takes over goes on where it was.
    consumer_group_id = var.topics[each.key]
  }

  source_access_configuration {
    type = "SASL_SCRAM_512_AUTH"
    uri  = var.kafka_secret_arn
  }
}
