# A task definition of Fargate with its log and its two roles: what the agent
# may do before the program runs (image, log, secrets), and what the program
# may do itself.

data "aws_region" "this" {}

locals {
  # The same image in every container: no shell, not root, a read-only disk.
  base = {
    image                  = var.image
    readonlyRootFilesystem = true
    user                   = "65532:65532"
    linuxParameters        = { capabilities = { drop = ["ALL"] } }
    dockerLabels           = { "sponge.secrets-version" = tostring(var.secrets_version) } # other secrets: another revision
    mountPoints            = []
    systemControls         = []
    volumesFrom            = []

    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.this.name
        awslogs-region        = data.aws_region.this.region
        awslogs-stream-prefix = "sponge"
      }
    }
  }

  main = merge(local.base, {
    name        = var.container_name
    essential   = true
    command     = var.command
    stopTimeout = var.stop_timeout
    environment = [for name, value in var.environment : { name = name, value = value }]
    secrets     = [for name, arn in var.secrets : { name = name, valueFrom = arn }]
    ulimits     = [{ name = "nofile", softLimit = var.open_files, hardLimit = var.open_files }]

    portMappings = [for name, port in var.ports : { name = name, containerPort = port, hostPort = port, protocol = "tcp" }]
    mountPoints  = [for i, path in var.scratch : { sourceVolume = "scratch${i}", containerPath = path, readOnly = false }]
    dependsOn    = var.before == null ? [] : [{ containerName = var.before.name, condition = "SUCCESS" }]
    },
    var.health_command == null ? {} : {
      healthCheck = { command = concat(["CMD"], var.health_command), interval = 10, timeout = 5, retries = 3, startPeriod = var.start_period }
    },
  )

  before = var.before == null ? [] : [merge(local.base, {
    name         = var.before.name
    essential    = false # its end is not the task's
    command      = var.before.command
    startTimeout = var.before.timeout
    environment  = [for name, value in var.before.environment : { name = name, value = value }]
    secrets      = [for name, arn in var.before.secrets : { name = name, valueFrom = arn }]
    portMappings = []
  })]

  # A secret's reference may name a key within it: arn:KEY::
  secret_arns = distinct([
    for reference in concat(values(var.secrets), var.before == null ? [] : values(var.before.secrets)) :
    endswith(reference, "::") ? regex("^(.*):[^:]+::$", reference)[0] : reference
  ])
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/${var.cluster}/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
  tags              = var.tags
}

resource "aws_ecs_task_definition" "this" {
  family                   = "${var.cluster}-${var.name}"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task.arn
  container_definitions    = jsonencode(concat([local.main], local.before))
  tags                     = var.tags

  # The task's own disk, gone with it.
  dynamic "volume" {
    for_each = var.scratch

    content {
      name = "scratch${volume.key}"
    }
  }

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.cpu_architecture
  }
}

locals {
  assume_by_tasks = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role" "execution" {
  name               = "${var.cluster}-${var.name}-execution"
  assume_role_policy = local.assume_by_tasks
  tags               = var.tags
}

resource "aws_iam_role_policy" "execution" {
  name = "start"
  role = aws_iam_role.execution.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([
      {
        Sid      = "RegistryLogin"
        Effect   = "Allow"
        Action   = "ecr:GetAuthorizationToken"
        Resource = "*" # the action knows no resources
      },
      {
        Sid      = "Image"
        Effect   = "Allow"
        Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
        Resource = var.repository_arn
      },
      {
        Sid      = "Log"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = "${aws_cloudwatch_log_group.this.arn}:*"
      },
      ], [for statement in [
        {
          Sid      = "Secrets"
          Effect   = "Allow"
          Action   = "secretsmanager:GetSecretValue"
          Resource = local.secret_arns
        },
        {
          Sid       = "SecretsKey"
          Effect    = "Allow"
          Action    = "kms:Decrypt"
          Resource  = var.kms_key_arn
          Condition = { StringEquals = { "kms:ViaService" = "secretsmanager.${data.aws_region.this.region}.amazonaws.com" } }
        },
    ] : statement if length(local.secret_arns) > 0])
  })
}

resource "aws_iam_role" "task" {
  name               = "${var.cluster}-${var.name}"
  assume_role_policy = local.assume_by_tasks
  tags               = var.tags
}

resource "aws_iam_role_policy" "task" {
  count = var.policy == null ? 0 : 1

  name   = "do"
  role   = aws_iam_role.task.id
  policy = var.policy
}
